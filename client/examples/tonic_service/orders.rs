//! Messages, server and client of `orders.v1.Orders`, written by hand so that the example needs no build script. In a
//! service of your own `tonic-prost-build` makes them of a `.proto` file.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::client::Grpc as Calls;
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

/// What both methods are about.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Order {
    /// Its id.
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    /// Cents to be refunded, or that were.
    #[prost(uint64, tag = "2")]
    pub(crate) cents: u64,
}

/// The service.
#[tonic::async_trait]
pub(crate) trait Orders: Send + Sync + 'static {
    /// `/orders.v1.Orders/ListOrders`.
    async fn list_orders(&self, request: Request<Order>) -> Result<Response<Order>, Status>;
    /// `/orders.v1.Orders/RefundOrder`.
    async fn refund_order(&self, request: Request<Order>) -> Result<Response<Order>, Status>;
}

/// Serves the two methods.
#[derive(Debug)]
pub(crate) struct OrdersServer<T>(pub(crate) Arc<T>);

impl<T> Clone for OrdersServer<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> NamedService for OrdersServer<T> {
    const NAME: &'static str = "orders.v1.Orders";
}

struct Method<T>(Arc<T>, bool);

impl<T: Orders> UnaryService<Order> for Method<T> {
    type Response = Order;
    type Future = BoxFuture<Response<Order>, Status>;

    fn call(&mut self, request: Request<Order>) -> Self::Future {
        let (orders, is_refund) = (Arc::clone(&self.0), self.1);
        Box::pin(async move {
            if is_refund { orders.refund_order(request).await } else { orders.list_orders(request).await }
        })
    }
}

impl<T: Orders> Service<http::Request<Body>> for OrdersServer<T> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let orders = Arc::clone(&self.0);
        Box::pin(async move {
            let is_refund = match request.uri().path() {
                "/orders.v1.Orders/ListOrders" => false,
                "/orders.v1.Orders/RefundOrder" => true,
                _ => return Ok(Status::new(Code::Unimplemented, "no such method").into_http()),
            };
            Ok(Grpc::new(ProstCodec::default()).unary(Method(orders, is_refund), request).await)
        })
    }
}

/// Calls one method.
///
/// # Errors
/// The status of the service, or of the transport.
pub(crate) async fn call(channel: &Channel, method: &'static str, order: Order) -> Result<Order, Status> {
    let mut calls = Calls::new(channel.clone());
    calls.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec: ProstCodec<Order, Order> = ProstCodec::default();
    let answer = calls.unary(Request::new(order), PathAndQuery::from_static(method), codec).await?;
    Ok(answer.into_inner())
}
