//! Two worlds drawn from a seed: one user with ten statements, and a typical service.
//!
//! The same shape and seed give the same world on every machine: the generator of numbers is spelled out here.
//! Half of the questions are allowed, a fifth explicitly denied, the rest implicitly denied, as far as a world has them.
#![expect(clippy::indexing_slicing, reason = "every index is drawn below the length it is used with")]

use std::collections::HashSet;

use portcullis_engine::Reason;
use serde_json::{Value as Json, json};

use crate::World;
use crate::question::{Question, Value};
use crate::reference;

const ACCOUNT: &str = "123456789012";
const VERBS: [&str; 8] = ["Get", "List", "Put", "Create", "Delete", "Describe", "Update", "Tag"];
const REGIONS: [&str; 4] = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1"];
const STAGES: [&str; 3] = ["prod", "stage", "dev"];
const TOPICS: [&str; 6] = ["orders", "billing", "users", "assets", "events", "audit"];
const FILLERS: [&str; 4] = ["x7", "prod-orders", "2024/06", "dev-audit/data/part-0001.parquet"];
/// Vendor, what stands between the region and the name of a resource, whether region and account are written, nouns.
const VENDORS: [(&str, &str, bool, [&str; 4]); 8] = [
    ("s3", "", false, ["Object", "ObjectAcl", "Bucket", "BucketPolicy"]),
    ("dynamodb", "table/", true, ["Item", "Table", "Backup", "Stream"]),
    ("sqs", "", true, ["Message", "Queue", "QueueUrl", "QueueAttributes"]),
    ("sns", "", true, ["Topic", "Subscription", "TopicAttributes", "Endpoint"]),
    ("lambda", "function:", true, ["Function", "Alias", "Layer", "EventSourceMapping"]),
    ("ec2", "instance/", true, ["Instances", "Volumes", "Snapshots", "Images"]),
    ("logs", "log-group:", true, ["LogGroup", "LogStream", "LogEvents", "MetricFilter"]),
    ("ssm", "parameter/", true, ["Parameter", "Document", "Association", "Session"]),
];

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    name: &'static str,
    users: usize,
    groups: usize,
    policies: usize,
    statements_per_policy: usize,
    policies_per_user: usize,
    groups_per_user: usize,
    questions: usize,
}

/// One user, one policy of ten statements.
pub const FLOOR: Shape = Shape {
    name: "floor",
    users: 1,
    groups: 0,
    policies: 1,
    statements_per_policy: 10,
    policies_per_user: 1,
    groups_per_user: 0,
    questions: 500,
};

/// A hundred users in three of twenty groups each, two policies a user and two a group.
pub const SERVICE: Shape = Shape {
    name: "service",
    users: 100,
    groups: 20,
    policies: 50,
    statements_per_policy: 4,
    policies_per_user: 2,
    groups_per_user: 3,
    questions: 2_000,
};

/// A condition that a generated statement may have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Condition {
    Inside,
    Region,
    Mfa,
}

/// A statement before it is written as JSON.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) deny: bool,
    pub(crate) actions: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) condition: Option<Condition>,
}

/// Draws a world.
#[must_use]
pub fn world(shape: &Shape, seed: u64) -> World {
    let mut draw = Draw(seed);
    let apps = (shape.policies / 5).max(2);
    let policies: Vec<Vec<Statement>> = (0..shape.policies)
        .map(|_| {
            let (app, vendors) = (draw.below(apps), [draw.below(VENDORS.len()), draw.below(VENDORS.len())]);
            (0..shape.statements_per_policy).map(|index| draw.statement(shape, index, app, vendors)).collect()
        })
        .collect();
    let groups: Vec<Vec<usize>> = (0..shape.groups).map(|_| draw.distinct(2, shape.policies)).collect();
    let users: Vec<(Vec<usize>, Vec<usize>)> = (0..shape.users)
        .map(|_| {
            (
                draw.distinct(shape.groups_per_user, shape.groups),
                draw.distinct(shape.policies_per_user, shape.policies),
            )
        })
        .collect();
    let questions = questions(shape, &mut draw, apps, &policies, &groups, &users);
    World { name: shape.name.to_owned(), sources: sources(&policies, &groups, &users), questions }
}

fn questions(
    shape: &Shape,
    draw: &mut Draw,
    apps: usize,
    policies: &[Vec<Statement>],
    groups: &[Vec<usize>],
    users: &[(Vec<usize>, Vec<usize>)],
) -> Vec<Question> {
    let mut questions = Vec::new();
    let (mut allowed, mut denied, mut tries) = (0, 0, 0);
    while questions.len() < shape.questions {
        tries += 1;
        let user = draw.below(users.len());
        let (of_groups, own) = &users[user];
        let mut attached: Vec<usize> =
            of_groups.iter().flat_map(|group| groups[*group].iter()).chain(own).copied().collect();
        attached.sort_unstable();
        attached.dedup();
        let mut question = draw.question(user, apps, policies, &attached);
        let applying = attached.iter().flat_map(|policy| policies[*policy].iter());
        question.expected = reference::answer(applying, &question);
        let wanted = match question.expected {
            Reason::Allowed => allowed < shape.questions / 2,
            Reason::ExplicitDeny => denied < shape.questions / 5,
            Reason::ImplicitDeny | Reason::EvaluationLimit => {
                questions.len() - allowed - denied
                    < shape.questions - shape.questions / 2 - shape.questions / 5
            }
        };
        if wanted || tries > shape.questions * 20 {
            allowed += usize::from(question.expected == Reason::Allowed);
            denied += usize::from(question.expected == Reason::ExplicitDeny);
            questions.push(question);
        }
    }
    questions
}

/// The policy directory, in the form that the account export has.
fn sources(
    policies: &[Vec<Statement>],
    groups: &[Vec<usize>],
    users: &[(Vec<usize>, Vec<usize>)],
) -> Vec<(String, Vec<u8>)> {
    let attached = |policies: &[usize]| -> Vec<Json> {
        let arn =
            |policy: &usize| json!({"PolicyName": policy_name(*policy), "PolicyArn": policy_arn(*policy)});
        policies.iter().map(arn).collect()
    };
    let users: Vec<Json> = users
        .iter()
        .enumerate()
        .map(|(index, (groups, own))| {
            let groups: Vec<String> = groups.iter().map(|group| group_name(*group)).collect();
            json!({"UserName": user_name(index), "Arn": user_arn(index), "Path": "/team/", "GroupList": groups,
                   "AttachedManagedPolicies": attached(own)})
        })
        .collect();
    let groups: Vec<Json> = groups
        .iter()
        .enumerate()
        .map(|(index, policies)| {
            json!({"GroupName": group_name(index), "Arn": format!("arn:aws:iam::{ACCOUNT}:group/{}", group_name(index)),
                   "AttachedManagedPolicies": attached(policies)})
        })
        .collect();
    let policies: Vec<Json> = policies
        .iter()
        .enumerate()
        .map(|(index, statements)| {
            let statements: Vec<Json> = statements.iter().map(Statement::json).collect();
            json!({"Arn": policy_arn(index), "PolicyDocument": {"Version": "2012-10-17", "Statement": statements}})
        })
        .collect();
    [
        ("users.json", json!({"UserDetailList": users})),
        ("groups.json", json!({"GroupDetailList": groups})),
        ("policies.json", json!({"Policies": policies})),
    ]
    .map(|(file, text)| (file.to_owned(), text.to_string().into_bytes()))
    .into()
}

fn user_name(user: usize) -> String {
    format!("user{user:06}")
}

fn user_arn(user: usize) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/team/{}", user_name(user))
}

fn group_name(group: usize) -> String {
    format!("group{group:04}")
}

fn policy_name(policy: usize) -> String {
    format!("policy{policy:06}")
}

fn policy_arn(policy: usize) -> String {
    format!("arn:aws:iam::{ACCOUNT}:policy/{}", policy_name(policy))
}

fn arn(vendor: usize, region: &str, name: &str) -> String {
    let (vendor, kind, regional, _) = VENDORS[vendor];
    if regional {
        format!("arn:aws:{vendor}:{region}:{ACCOUNT}:{kind}{name}")
    } else {
        format!("arn:aws:{vendor}:::{name}")
    }
}

impl Statement {
    fn json(&self) -> Json {
        let mut statement = json!({
            "Effect": if self.deny { "Deny" } else { "Allow" }, "Action": self.actions, "Resource": self.resources,
        });
        if let (Some(condition), Some(members)) = (self.condition, statement.as_object_mut()) {
            let condition = match condition {
                Condition::Inside => json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "203.0.113.0/24"]}}),
                Condition::Region => {
                    json!({"StringEquals": {"aws:RequestedRegion": ["us-east-1", "eu-west-1"]}})
                }
                Condition::Mfa => json!({"Bool": {"aws:MultiFactorAuthPresent": "true"}}),
            };
            members.insert("Condition".to_owned(), condition);
        }
        statement
    }
}

/// Draws everything from one stream of numbers (splitmix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound.max(1) as u64).unwrap_or(0)
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn distinct(&mut self, count: usize, bound: usize) -> Vec<usize> {
        let mut chosen = HashSet::new();
        while chosen.len() < count.min(bound) {
            chosen.insert(self.below(bound));
        }
        let mut chosen: Vec<usize> = chosen.into_iter().collect();
        chosen.sort_unstable();
        chosen
    }

    fn statement(&mut self, shape: &Shape, index: usize, app: usize, vendors: [usize; 2]) -> Statement {
        let vendor = self.pick(&vendors);
        let deny = if shape.policies == 1 { index == 4 } else { self.below(10) == 0 };
        let actions = (0..=self.below(3)).map(|_| self.action_pattern(vendor, deny)).collect();
        let resources = (0..=self.below(2)).map(|_| self.resource_pattern(vendor, deny, app)).collect();
        let condition = match self.below(20) {
            0 => Some(Condition::Inside),
            1 => Some(Condition::Region),
            2 => Some(Condition::Mfa),
            _ => None,
        };
        Statement { deny, actions, resources, condition }
    }

    fn action_pattern(&mut self, vendor: usize, deny: bool) -> String {
        let (vendor, _, _, nouns) = VENDORS[vendor];
        match self.below(100) {
            0..60 => format!("{vendor}:{}{}", self.pick(&VERBS), self.pick(&nouns)),
            60..90 => format!("{vendor}:{}*", self.pick(&VERBS)),
            90..96 if !deny => format!("{vendor}:*"),
            _ => format!("{vendor}:*{}", self.pick(&nouns)),
        }
    }

    fn resource_pattern(&mut self, vendor: usize, deny: bool, app: usize) -> String {
        let region = self.pick(&REGIONS);
        match self.below(100) {
            0..20 => arn(vendor, region, &self.resource_name(app)),
            20..55 => arn(vendor, region, &format!("app{app:05}-*")),
            55..80 => arn(vendor, region, &format!("{}/*", self.resource_name(app))),
            80..90 => arn(vendor, region, &format!("app{app:05}-*/data/*")),
            90..95 => arn(vendor, "*", &format!("app{app:05}-prod-?*")),
            _ if deny => arn(vendor, "*", &format!("app{app:05}-*")),
            _ => "*".to_owned(),
        }
    }

    fn resource_name(&mut self, app: usize) -> String {
        format!("app{app:05}-{}-{}", self.pick(&STAGES), self.pick(&TOPICS))
    }

    /// Of ten questions six aim at a statement that applies, two at one but another app's resource, two at anything.
    fn question(
        &mut self,
        user: usize,
        apps: usize,
        policies: &[Vec<Statement>],
        attached: &[usize],
    ) -> Question {
        let mode = self.below(10);
        let vendor = self.below(VENDORS.len());
        let (mut action_pattern, mut resource_pattern) = (format!("{}:*", VENDORS[vendor].0), "*".to_owned());
        if mode < 8 {
            let policy = &policies[self.pick(attached)];
            let statement = &policy[self.below(policy.len())];
            action_pattern.clone_from(&statement.actions[self.below(statement.actions.len())]);
            resource_pattern.clone_from(&statement.resources[self.below(statement.resources.len())]);
        }
        let action = self.concrete_action(&action_pattern);
        let mut resource = self.concrete_resource(&resource_pattern, &action, apps);
        if matches!(mode, 6 | 7) {
            resource = resource.replacen("app0", "app9", 1);
        }
        let address = if self.below(5) > 0 { "10.20" } else { "198.51" };
        let context = vec![
            text("aws:SourceIp", format!("{address}.{}.{}", self.below(250), self.below(250))),
            ("aws:MultiFactorAuthPresent".to_owned(), Value::Bool(self.below(10) < 7)),
            text("aws:RequestedRegion", self.pick(&REGIONS).to_owned()),
        ];
        Question { principal: user_arn(user), action, resource, context, expected: Reason::ImplicitDeny }
    }

    fn concrete_action(&mut self, pattern: &str) -> String {
        let all = VENDORS.iter().flat_map(|(vendor, _, _, nouns)| {
            VERBS.iter().flat_map(move |verb| nouns.iter().map(move |noun| format!("{vendor}:{verb}{noun}")))
        });
        let actions: Vec<String> = all.filter(|action| reference::by_part(pattern, action, 2)).collect();
        actions[self.below(actions.len())].clone()
    }

    fn concrete_resource(&mut self, pattern: &str, action: &str, apps: usize) -> String {
        if pattern == "*" {
            let named =
                |(vendor, ..): &(&str, &str, bool, [&str; 4])| action.split(':').next() == Some(*vendor);
            let vendor = VENDORS.iter().position(named).unwrap_or(0);
            let (app, region) = (self.below(apps), self.pick(&REGIONS));
            return arn(vendor, region, &self.resource_name(app));
        }
        let mut resource = String::new();
        for character in pattern.replace(":*:", &format!(":{}:", self.pick(&REGIONS))).chars() {
            match character {
                '*' => resource.push_str(self.pick(&FILLERS)),
                '?' => resource.push('z'),
                other => resource.push(other),
            }
        }
        resource
    }
}

fn text(key: &str, value: String) -> (String, Value) {
    (key.to_owned(), Value::Text(value))
}

#[cfg(test)]
mod tests {
    use super::{FLOOR, SERVICE, world};

    #[test]
    fn a_seed_is_a_world() {
        assert_eq!(world(&SERVICE, 7).sources, world(&SERVICE, 7).sources);
        assert_ne!(world(&SERVICE, 7).sources, world(&SERVICE, 8).sources);
    }

    #[test]
    fn the_engine_agrees_with_the_reference() {
        for shape in [FLOOR, SERVICE] {
            for seed in 0..1 {
                let world = world(&shape, seed);
                let policy_set = world.build().unwrap();
                assert_eq!(world.check(&policy_set), Ok(()));
            }
        }
    }
}
