//! A gRPC service whose every method is decided upon before its handler runs, and which asks once more for what only the
//! message tells.
//!
//! `cargo run -p portcullis-client --example tonic_service` starts it on a free port, calls it a few times, and ends. With
//! `PORTCULLIS=unix:/run/portcullis/portcullis.sock` it asks a sidecar; without, it has policies of its own.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

mod orders;

use std::error::Error;
use std::sync::Arc;

use orders::{Order, Orders, OrdersServer};
use portcullis_client::enforce::{Caller, Enforcer, GrpcMethods};
use portcullis_client::{AnyAuthorizer, Authorizer as _, Client, Embedded, Permit};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::interceptor::InterceptorLayer;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

/// Anna lists orders and refunds up to a hundred.
const POLICIES: &str = r#"{"UserDetailList": [{"UserName": "anna", "Arn": "arn:aws:iam::123456789012:user/anna",
    "UserPolicyList": [{"PolicyName": "orders", "PolicyDocument": {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "orders:ListOrders", "Resource": "*"},
        {"Effect": "Allow", "Action": "orders:RefundOrder", "Resource": "arn:acme:orders:eu-1:123456789012:order/*",
         "Condition": {"NumericLessThanEquals": {"orders:AmountCents": "10000"}}}]}}]}]}"#;

async fn pdp() -> Result<AnyAuthorizer, Box<dyn Error>> {
    match std::env::var("PORTCULLIS") {
        Ok(sidecar) => Ok(AnyAuthorizer::new(Client::connect(sidecar).await?)),
        Err(_) => Ok(AnyAuthorizer::new(Embedded::from_json(POLICIES)?)),
    }
}

struct Shop {
    pdp: AnyAuthorizer,
}

#[tonic::async_trait]
impl Orders for Shop {
    async fn list_orders(&self, request: Request<Order>) -> Result<Response<Order>, Status> {
        // The layer has asked for `orders:ListOrders`.
        let permit = request.extensions().get::<Permit>().ok_or_else(|| Status::internal("not guarded"))?;
        Ok(Response::new(Order { id: permit.request().action().to_owned(), cents: 0 }))
    }

    async fn refund_order(&self, request: Request<Order>) -> Result<Response<Order>, Status> {
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Status::unauthenticated("who calls?"))?;
        let order = request.into_inner();
        // The message says which order and how much; the layer does not read messages.
        let resource = format!("arn:acme:orders:eu-1:123456789012:order/{}", order.id);
        self.pdp
            .authorize(caller.principal(), "orders:RefundOrder", resource)
            .context("orders:AmountCents", order.cents)
            .await?
            .require()?;
        Ok(Response::new(order))
    }
}

/// The service's own authentication, outside of the layer. A real one verifies a certificate or a token.
fn authenticate(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.extensions_mut().insert(Caller::new("arn:aws:iam::123456789012:user/anna"));
    Ok(request)
}

/// Calls the service as its clients do.
async fn demo() -> Result<Vec<String>, Box<dyn Error>> {
    let pdp = pdp().await?;
    // The handler of refunds asks itself, and with all it needs to know.
    let methods = GrpcMethods::new().vendor("orders.v1", "orders").public("/orders.v1.Orders/RefundOrder");
    let mut server = Server::builder()
        .layer(InterceptorLayer::new(authenticate))
        .layer(Enforcer::new(pdp.clone()).layer(methods));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let channel = Channel::from_shared(format!("http://{}", listener.local_addr()?))?.connect_lazy();
    let service = server.add_service(OrdersServer(Arc::new(Shop { pdp })));
    tokio::spawn(service.serve_with_incoming(TcpListenerStream::new(listener)));

    let mut seen = Vec::new();
    for (method, id, cents) in [
        ("/orders.v1.Orders/ListOrders", "", 0),
        ("/orders.v1.Orders/RefundOrder", "42", 4_900),
        ("/orders.v1.Orders/RefundOrder", "42", 250_000),
        ("/orders.v1.Orders/DropOrders", "", 0),
    ] {
        let answer = orders::call(&channel, method, Order { id: id.to_owned(), cents }).await;
        let said =
            answer.map_or_else(|status| format!("{:?}", status.code()), |order| format!("Ok {order:?}"));
        println!("{method} {id} {cents} -> {said}");
        seen.push(said.split(' ').take(1).collect());
    }
    Ok(seen)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    demo().await.map(drop)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn it_is_served_as_the_policies_say() -> Result<(), Box<dyn std::error::Error>> {
        assert_eq!(super::demo().await?, ["Ok", "Ok", "PermissionDenied", "PermissionDenied"]);
        Ok(())
    }
}
