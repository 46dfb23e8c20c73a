//! The caller, and the principal part of statements (section 6).

use serde_json::Value;

use super::Ask;
use super::directory;
use super::text::{arn_parts, strings};

/// P-1; a role session and a bare role ARN (P-14) are both `Role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Root,
    User,
    Role,
    Federated,
    Service,
    Anonymous,
    Provider,
}

/// Who asks.
pub(crate) struct Caller<'a> {
    pub(crate) kind: Kind,
    /// As the request names it.
    pub(crate) text: &'a str,
    pub(crate) partition: &'a str,
    /// Empty when the caller has no account.
    pub(crate) account: &'a str,
    /// The user, the role, or the user that issued the federated session, when the directory has it.
    pub(crate) entity: Option<&'a Value>,
    /// The ARN of that entity, known to the directory or not.
    pub(crate) entity_arn: String,
    /// Name of the user, role session or federated user.
    pub(crate) name: &'a str,
    pub(crate) session: Option<&'a Value>,
}

const BUILT_IN_PROVIDERS: [&str; 4] =
    ["cognito-identity.amazonaws.com", "www.amazon.com", "graph.facebook.com", "accounts.google.com"];

impl<'a> Caller<'a> {
    pub(crate) fn of(directory: &'a Value, request: &'a Value) -> Self {
        let text = request["Principal"].as_str().unwrap_or_default();
        let session = request.get("Session").filter(|session| !session.is_null());
        let mut caller = Self {
            kind: Kind::Service,
            text,
            partition: "",
            account: "",
            entity: None,
            entity_arn: text.to_owned(),
            name: "",
            session,
        };
        let Some(parts) = arn_parts(text) else {
            let web = request["Action"]
                .as_str()
                .is_some_and(|a| a.eq_ignore_ascii_case("sts:AssumeRoleWithWebIdentity"));
            if text == "anonymous" {
                caller.kind = Kind::Anonymous;
            } else if web && BUILT_IN_PROVIDERS.contains(&text) {
                caller.kind = Kind::Provider;
            }
            return caller;
        };
        (caller.partition, caller.account) = (parts[1], parts[4]);
        let (word, rest) = parts[5].split_once('/').unwrap_or((parts[5], ""));
        caller.name = last_element(rest);
        match word {
            "root" => caller.kind = Kind::Root,
            "user" => {
                caller.kind = Kind::User;
                caller.entity = directory::user(directory, text);
            }
            "assumed-role" => caller.becomes_role(directory, rest.split('/').next().unwrap_or_default()),
            "role" => {
                caller.becomes_role(directory, last_element(rest));
                caller.name = "";
            }
            "federated-user" => caller.becomes_federated(directory),
            _ => {
                caller.kind = Kind::Provider;
                caller.account = "";
            }
        }
        caller
    }

    fn becomes_role(&mut self, directory: &'a Value, role: &str) {
        self.kind = Kind::Role;
        self.entity = directory::role(directory, self.account, role);
        if let Some(entity) = self.entity {
            self.entity_arn = directory::arn_of(entity, "role", "RoleName");
        } else if self.text.contains(":assumed-role/") {
            self.entity_arn = format!("arn:{}:iam::{}:role/{role}", self.partition, self.account);
        }
    }

    fn becomes_federated(&mut self, directory: &'a Value) {
        self.kind = Kind::Federated;
        let issuer = self.session.and_then(|session| session.get("Issuer")).and_then(Value::as_str);
        self.entity = match issuer {
            Some(arn) => directory::user(directory, arn),
            None => directory::entries(directory, "UserDetailList")
                .find(|user| directory::is_named(user, "user", "UserName", self.account, self.name)),
        };
        self.entity_arn = match (issuer, self.entity) {
            (Some(arn), _) => arn.to_owned(),
            (None, Some(user)) => directory::arn_of(user, "user", "UserName"),
            (None, None) => format!("arn:{}:iam::{}:user/{}", self.partition, self.account, self.name),
        };
    }

    /// E-10.
    pub(crate) fn issued_by_root(&self) -> bool {
        self.kind == Kind::Federated && self.entity_arn.ends_with(":root")
    }

    /// E-20.
    pub(crate) fn is_service_linked(&self) -> bool {
        self.kind == Kind::Role && self.entity_arn.contains(":role/aws-service-role/")
    }

    fn entity_id(&self) -> Option<&str> {
        let member = if self.kind == Kind::Role { "RoleId" } else { "UserId" };
        self.entity?.get(member)?.as_str()
    }

    /// Whether an entry names the caller's account.
    fn is_account_entry(&self, entry: &str) -> bool {
        let known = !self.account.is_empty();
        known
            && (entry == self.account
                || entry == format!("arn:{}:iam::{}:root", self.partition, self.account))
    }

    /// Whether an entry names the user, the role or the issuing user.
    fn is_entity_entry(&self, entry: &str) -> bool {
        if self.entity_id() == Some(entry) {
            return true;
        }
        match self.kind {
            Kind::User | Kind::Federated => entry.contains(":user/") && entry == self.entity_arn,
            Kind::Role => self.is_role_entry(entry),
            _ => false,
        }
    }

    /// P-7: with the role at hand the path counts, else the last element; names ignore case.
    fn is_role_entry(&self, entry: &str) -> bool {
        let (Some(entry), Some(role)) = (arn_parts(entry), arn_parts(&self.entity_arn)) else { return false };
        let same_place = entry[..5] == role[..5];
        let (path, name) = entry[5].rsplit_once('/').unwrap_or_default();
        let (role_path, role_name) = role[5].rsplit_once('/').unwrap_or_default();
        let same_path =
            if self.entity.is_some() { path == role_path } else { path.split('/').next() == Some("role") };
        same_place && same_path && name.eq_ignore_ascii_case(role_name)
    }

    /// Whether an entry names exactly this session or federated user.
    fn is_session_entry(&self, entry: &str) -> bool {
        let temporary = self.text.contains(":assumed-role/") || self.kind == Kind::Federated;
        temporary && entry == self.text
    }
}

fn last_element(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The strengths of what matched (P-8); for a set without principals an Allow is `direct`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Classes {
    pub(crate) direct: bool,
    pub(crate) role_like: bool,
    pub(crate) account: bool,
    /// Some Deny matched.
    pub(crate) deny: bool,
}

impl Classes {
    pub(crate) fn any(self) -> bool {
        self.direct || self.role_like || self.account
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.direct |= other.direct;
        self.role_like |= other.role_like;
        self.account |= other.account;
    }
}

/// The classes by which the principal part of a statement matches the caller; none at all is no match.
pub(crate) fn classes(statement: &Value, denies: bool, ask: &Ask<'_>) -> Classes {
    if let Some(listed) = statement.get("NotPrincipal") {
        let direct = not_principal_matches(listed, denies, ask);
        return Classes { direct, ..Classes::default() };
    }
    let mut classes = Classes::default();
    match statement.get("Principal") {
        Some(Value::String(all)) => classes.direct = all == "*",
        Some(Value::Object(members)) => {
            for (member, values) in members {
                for value in strings(values) {
                    classes.add(class_of(member, &value, &ask.caller));
                }
            }
        }
        _ => {} // G-50
    }
    classes
}

/// P-6.
fn class_of(member: &str, entry: &str, caller: &Caller<'_>) -> Classes {
    let mut classes = Classes::default();
    match member {
        "AWS" if entry == "*" => classes.direct = true,
        "AWS" if caller.is_account_entry(entry) => {
            classes.direct = caller.kind == Kind::Root;
            classes.account = caller.kind != Kind::Root;
        }
        "AWS" if caller.is_entity_entry(entry) => {
            classes.direct = caller.kind == Kind::User;
            classes.role_like = caller.kind != Kind::User;
        }
        "AWS" => classes.direct = caller.is_session_entry(entry),
        "Service" => classes.direct = caller.kind == Kind::Service && entry == caller.text,
        "Federated" => {
            classes.direct = caller.kind == Kind::Provider && (entry == caller.text || entry == "*")
        }
        _ => {}
    }
    classes
}

/// P-40..P-43.
fn not_principal_matches(listed: &Value, denies: bool, ask: &Ask<'_>) -> bool {
    let caller = &ask.caller;
    let lists = |member: &str| listed.get(member).map(strings).unwrap_or_default();
    let (aws, services, federated) = (lists("AWS"), lists("Service"), lists("Federated"));
    if listed.is_string() || aws.iter().any(|entry| entry == "*") {
        return false;
    }
    let account = aws.iter().any(|entry| caller.is_account_entry(entry));
    let entity = aws.iter().any(|entry| caller.is_entity_entry(entry));
    let session = aws.iter().any(|entry| caller.is_session_entry(entry));
    let service = caller.kind == Kind::Service && services.iter().any(|entry| entry == caller.text);
    let provider = caller.kind == Kind::Provider && federated.iter().any(|entry| entry == caller.text);
    if !denies {
        return !(account || entity || session || service || provider);
    }
    let exempt = match caller.kind {
        Kind::Root => account,
        Kind::User => account && entity,
        Kind::Role | Kind::Federated => account && entity && session,
        Kind::Service => service,
        Kind::Provider => provider,
        Kind::Anonymous => false,
    };
    !exempt || ask.has_boundary
}
