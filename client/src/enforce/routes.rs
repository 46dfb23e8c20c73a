//! axum: a table of routes, an action beside a handler, and a permit for a handler to take.

use std::collections::HashMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode};

use super::mapper::{Mapper, Need, Unmapped};
use super::refusal::{self, Refusal};
use super::template::{RuleError, Template};
use super::{EnforceLayer, Enforcer};
use crate::authorizer::Authorizer;
use crate::decision::Permit;

/// Action and resource of each route, by the templates of the router. A route that is not listed is refused.
///
/// ```
/// # use axum::{Router, routing::get};
/// # use portcullis_client::enforce::{Enforcer, RuleError, Routes};
/// # use http::Method;
/// # fn app(pdp: portcullis_client::Client) -> Result<Router, RuleError> {
/// let routes = Routes::new()
///     .on(Method::GET, "/orders/{id}", "orders:GetOrder", "arn:acme:orders:eu-1:111122223333:order/{id}")?
///     .public(Method::GET, "/healthz")?;
/// let app = Router::new()
///     .route("/orders/{id}", get(|| async { "an order" }))
///     .route("/healthz", get(|| async { "ok" }))
///     .layer(Enforcer::new(pdp).layer(routes));
/// # Ok(app) }
/// ```
///
/// A placeholder of the resource takes the value that the handler sees, percent-decoded once. `{id}` takes no empty
/// value, no `.` or `..`, and none with `/`, `:`, `\`, `*`, `?` or control characters; `{*rest}` takes such values with
/// `/` between them. Before the fifth colon of the ARN only letters, digits, `-`, `_` and `.` are taken. Any other
/// request is refused, so that a path leads to one kind of resource, whatever it says. Services with other names state
/// them in a mapper of their own.
///
/// With `Router::layer` a path that the router does not know is refused; with `Router::route_layer` it is 404. Either
/// protects the routes that were added before it. A rule for `GET` is one for `HEAD`, unless there is one.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    rules: HashMap<String, Vec<(Method, Option<Require>)>>,
}

impl Routes {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A route as the router has it, nesting included, and what it needs.
    ///
    /// # Errors
    /// When action or resource are malformed, the resource has a placeholder that the route does not have, or the route
    /// is listed already.
    pub fn on(self, method: Method, route: &str, action: &str, resource: &str) -> Result<Self, RuleError> {
        let require = Require::new(action, resource)?;
        for name in require.resource.places() {
            if !route.contains(&format!("{{{name}}}")) && !route.contains(&format!("{{*{name}}}")) {
                return Err(RuleError::Placeholder { name: name.to_owned(), route: route.to_owned() });
            }
        }
        self.with(method, route, Some(require))
    }

    /// A route that anybody may call.
    ///
    /// # Errors
    /// When the route is listed already.
    pub fn public(self, method: Method, route: &str) -> Result<Self, RuleError> {
        self.with(method, route, None)
    }

    fn with(mut self, method: Method, route: &str, rule: Option<Require>) -> Result<Self, RuleError> {
        let rules = self.rules.entry(route.to_owned()).or_default();
        if rules.iter().any(|(other, _)| *other == method) {
            return Err(RuleError::Twice { method: method.to_string(), route: route.to_owned() });
        }
        rules.push((method, rule));
        Ok(self)
    }

    fn rule(&self, route: &str, method: &Method) -> Option<&Option<Require>> {
        let rules = self.rules.get(route)?;
        let of = |method: &Method| rules.iter().find_map(|(other, rule)| (other == method).then_some(rule));
        // axum serves HEAD with the handler of GET.
        of(method).or_else(|| if *method == Method::HEAD { of(&Method::GET) } else { None })
    }
}

impl Mapper for Routes {
    fn need(&self, head: &mut Parts) -> Result<Need, Unmapped> {
        let route = head.extensions.get::<MatchedPath>();
        let route = route.ok_or_else(|| Unmapped::new("the router has no such route"))?.as_str();
        match self.rule(route, &head.method) {
            Some(Some(require)) => require.need(head),
            Some(None) => Ok(Need::nothing()),
            None => Err(Unmapped::new(format!("no rule for {} {route:?}", head.method))),
        }
    }
}

/// One action on one resource, whatever the request.
#[derive(Debug, Clone)]
pub struct Require {
    action: String,
    resource: Template,
}

impl Require {
    fn new(action: &str, resource: &str) -> Result<Self, RuleError> {
        let is_action = action.split_once(':').is_some_and(|(vendor, name)| {
            !vendor.is_empty() && !name.is_empty() && !name.contains(':') && !action.contains(['*', '?'])
        });
        if !is_action {
            return Err(RuleError::Action(action.to_owned()));
        }
        Ok(Self { action: action.to_owned(), resource: Template::parse(resource)? })
    }
}

impl Mapper for Require {
    fn need(&self, head: &mut Parts) -> Result<Need, Unmapped> {
        let resource = if self.resource.places().next().is_none() {
            self.resource.fill(std::iter::empty)?
        } else {
            let parameters = path_parameters(head)?;
            self.resource.fill(|| parameters.iter())?
        };
        Ok(Need::permit(self.action.as_str(), resource))
    }
}

/// What the handler's `Path` would see.
fn path_parameters(head: &mut Parts) -> Result<RawPathParams, Unmapped> {
    let extracting = pin!(RawPathParams::from_request_parts(head, &()));
    // The extractor is asynchronous by its trait alone: it copies what the router has put into the extensions.
    match extracting.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(parameters)) => Ok(parameters),
        Poll::Ready(Err(problem)) => Err(Unmapped::new(problem.to_string())),
        Poll::Pending => Err(Unmapped::new("the parameters of the path are not there yet")),
    }
}

impl<A: Authorizer + 'static> Enforcer<A> {
    /// Action and resource beside an axum handler. The placeholders of the resource are those of the route; see
    /// [`Routes`] for what they take.
    ///
    /// ```
    /// # use axum::{Router, routing::{delete, get}};
    /// # use portcullis_client::{Permit, enforce::{Enforcer, RuleError}};
    /// # fn app(pdp: portcullis_client::Client) -> Result<Router, RuleError> {
    /// # async fn show(permit: Permit) {}
    /// # async fn remove(permit: Permit) {}
    /// let guard = Enforcer::new(pdp);
    /// let order = "arn:acme:orders:eu-1:111122223333:order/{id}";
    /// let app = Router::new()
    ///     .route("/orders/{id}", get(show).route_layer(guard.require("orders:GetOrder", order)?))
    ///     .route("/orders/{id}", delete(remove).route_layer(guard.require("orders:DeleteOrder", order)?));
    /// # Ok(app) }
    /// ```
    ///
    /// It protects the methods to the left of it, as `route_layer` does: `any` and `fallback` are no methods, and stand
    /// open beside it. With `layer` in its place they are protected, and a method without a handler is 403 instead of 405.
    /// A handler that takes a [`Permit`] answers 500 where the layer is forgotten; a table of [`Routes`] refuses what was
    /// forgotten.
    ///
    /// # Errors
    /// When action or resource are malformed.
    pub fn require(&self, action: &str, resource: &str) -> Result<EnforceLayer<A, Require>, RuleError> {
        Ok(self.layer(Require::new(action, resource)?))
    }
}

/// The permit that the layer got. Without a layer, and on public routes, there is none and the handler is not called.
impl<S: Sync> FromRequestParts<S> for Permit {
    type Rejection = Unguarded;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        head.extensions.get::<Self>().cloned().ok_or(Unguarded(()))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.into_problem().map(axum::body::Body::new)
    }
}

/// A handler asks for a permit and no layer got one: a mistake in the service, answered with 500.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the handler takes a permit, but no layer that enforces is around it")]
pub struct Unguarded(());

impl IntoResponse for Unguarded {
    fn into_response(self) -> Response {
        let id = refusal::new_id();
        tracing::error!(request_id = id.as_str(), "{self}");
        refusal::problem(StatusCode::INTERNAL_SERVER_ERROR, "the route is not guarded", &id)
            .map(axum::body::Body::new)
    }
}
