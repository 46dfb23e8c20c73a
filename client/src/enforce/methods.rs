//! gRPC method paths as actions.

use std::collections::{HashMap, HashSet};

use http::request::Parts;

use super::mapper::{Mapper, Need, Unmapped};

/// Makes `orders.v1:GetOrder` of `/orders.v1.OrderService/GetOrder`.
///
/// The vendor of the action is the protobuf package, dots and all, which IAM's grammar takes; an underscore, which it
/// does not take, becomes `-`, which no package has. A service without a package is its own vendor. Two services of one
/// package that have a method of the same name would share one action: give one of them a vendor of its own with
/// [`vendor`](Self::vendor).
///
/// Every method is asked for on the resource `*`, unless told otherwise: what a call is about is in its message, and the
/// message is not read. Only statements with `"Resource": "*"` are about it.
///
/// A path of another form is refused. Methods for everybody, such as health, are listed with [`public`](Self::public).
#[derive(Debug, Clone, Default)]
pub struct GrpcMethods {
    vendors: HashMap<String, String>,
    methods: HashMap<String, Need>,
    public: HashSet<String>,
    resource: Option<String>,
}

impl GrpcMethods {
    /// All methods by the rule.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The vendor of all methods of a package (`orders.v1`) or of one service (`orders.v1.OrderService`).
    #[must_use]
    pub fn vendor(mut self, of: impl Into<String>, vendor: impl Into<String>) -> Self {
        self.vendors.insert(of.into(), vendor.into());
        self
    }

    /// Action and resource of one method, given by its path `/package.Service/Method`.
    #[must_use]
    pub fn method(mut self, path: impl Into<String>, need: Need) -> Self {
        self.methods.insert(path.into(), need);
        self
    }

    /// A method that anybody may call, given by its path `/package.Service/Method`.
    #[must_use]
    pub fn public(mut self, path: impl Into<String>) -> Self {
        self.public.insert(path.into());
        self
    }

    /// The resource of all methods for which none is stated. Default: `*`.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// What a call of this path needs; for mappers that add to it, such as a resource from the metadata.
    ///
    /// # Errors
    /// When it is not the path of a method.
    pub fn need_of(&self, path: &str) -> Result<Need, Unmapped> {
        if self.public.contains(path) {
            return Ok(Need::nothing());
        }
        if let Some(need) = self.methods.get(path) {
            return Ok(need.clone());
        }
        let (service, method) =
            split(path).ok_or_else(|| Unmapped::new(format!("{path:?} is not the path of a gRPC method")))?;
        let action = format!("{}:{method}", self.vendor_of(service));
        Ok(Need::permit(action, self.resource.as_deref().unwrap_or("*")))
    }

    fn vendor_of(&self, service: &str) -> String {
        let package = service.rsplit_once('.').map_or(service, |(package, _)| package);
        match self.vendors.get(service).or_else(|| self.vendors.get(package)) {
            Some(vendor) => vendor.clone(),
            None => package.replace('_', "-"),
        }
    }
}

impl Mapper for GrpcMethods {
    fn need(&self, head: &mut Parts) -> Result<Need, Unmapped> {
        self.need_of(head.uri.path())
    }
}

/// Full name of the service and name of the method. Nothing is decoded: names in protobuf need no encoding.
fn split(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let is_path = service.split('.').all(is_name) && is_name(method);
    is_path.then_some((service, method))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
