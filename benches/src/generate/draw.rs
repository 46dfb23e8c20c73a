//! Everything that is drawn: statements and questions, from one stream of numbers.
#![expect(clippy::indexing_slicing, reason = "every index is drawn below the length it is used with")]

use std::collections::HashSet;

use portcullis_engine::{OwnedKeys, Reason};

use super::{Shape, text};
use crate::account::Account;
use crate::question::{NOW_SECONDS, Question, Value};
use crate::statement::{Condition, Patterns, Statement};

const VERBS: [&str; 8] = ["Get", "List", "Put", "Create", "Delete", "Describe", "Update", "Tag"];
const REGIONS: [&str; 4] = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1"];
const STAGES: [&str; 3] = ["prod", "stage", "dev"];
const TOPICS: [&str; 8] = ["orders", "billing", "users", "assets", "events", "audit", "search", "reports"];
const FOLDERS: [&str; 4] = ["logs", "data", "tmp", "archive"];
const FILLERS: [&str; 5] = ["x7", "prod-orders", "2024/06", "k9f3", "dev-audit/data/part-0001.parquet"];
/// Vendor, what stands between the account and the name of a resource, whether region and account are written, nouns.
const VENDORS: [(&str, &str, bool, [&str; 4]); 16] = [
    ("s3", "", false, ["Object", "ObjectAcl", "Bucket", "BucketPolicy"]),
    ("dynamodb", "table/", true, ["Item", "Table", "Backup", "Stream"]),
    ("sqs", "", true, ["Message", "Queue", "QueueUrl", "QueueAttributes"]),
    ("sns", "", true, ["Topic", "Subscription", "TopicAttributes", "Endpoint"]),
    ("lambda", "function:", true, ["Function", "Alias", "Layer", "EventSourceMapping"]),
    ("ec2", "instance/", true, ["Instances", "Volumes", "Snapshots", "Images"]),
    ("logs", "log-group:", true, ["LogGroup", "LogStream", "LogEvents", "MetricFilter"]),
    ("ssm", "parameter/", true, ["Parameter", "Document", "Association", "Session"]),
    ("secretsmanager", "secret:", true, ["SecretValue", "Secret", "ResourcePolicy", "Rotation"]),
    ("ecr", "repository/", true, ["Repository", "Image", "LifecyclePolicy", "Scan"]),
    ("rds", "db:", true, ["DBInstance", "DBSnapshot", "DBCluster", "DBProxy"]),
    ("kinesis", "stream/", true, ["Records", "Stream", "ShardIterator", "Consumer"]),
    ("states", "stateMachine:", true, ["Execution", "StateMachine", "Activity", "MapRun"]),
    ("events", "rule/", true, ["Rule", "Targets", "EventBus", "Archive"]),
    ("glue", "table/", true, ["Table", "Database", "Partition", "Job"]),
    ("ecs", "service/", true, ["Service", "Task", "Cluster", "TaskDefinition"]),
];

/// Draws from one stream of numbers (splitmix64).
#[derive(Debug)]
pub(crate) struct Draw {
    state: u64,
    apps: usize,
    statements: usize,
    denials: bool,
    heavy: bool,
}

impl Draw {
    /// A shape that only asks in another way has the policies of its name without the `h`.
    pub(super) fn new(seed: u64, shape: &Shape) -> Self {
        let name = shape.name.trim_end_matches('h');
        let state = name.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(131) + u64::from(byte)) ^ seed;
        Self {
            state,
            apps: (shape.policies / 5).max(2),
            statements: shape.statements_per_policy,
            denials: shape.policies > 1,
            heavy: shape.heavy,
        }
    }

    /// Only numbers, for worlds that are not drawn from a shape.
    pub(crate) fn numbers(seed: u64) -> Self {
        Self { state: seed, apps: 0, statements: 0, denials: false, heavy: false }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound.max(1) as u64).unwrap_or(0)
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn distinct(&mut self, count: usize, bound: usize) -> Vec<usize> {
        if count >= bound {
            return (0..bound).collect();
        }
        let mut chosen = HashSet::new();
        while chosen.len() < count {
            chosen.insert(self.below(bound));
        }
        let mut chosen: Vec<usize> = chosen.into_iter().collect();
        chosen.sort_unstable();
        chosen
    }

    /// One policy is about one application and at most two vendors.
    pub(super) fn policy(&mut self) -> Vec<Statement> {
        let app = self.below(self.apps);
        let vendors = [self.below(VENDORS.len()), self.below(VENDORS.len())];
        (0..self.statements).map(|number| self.statement(number, app, vendors)).collect()
    }

    fn statement(&mut self, number: usize, app: usize, vendors: [usize; 2]) -> Statement {
        let vendor = self.pick(&vendors);
        let deny = if self.denials { self.percent(10) } else { number == 4 };
        let actions = (0..=self.below(3)).map(|_| self.action_pattern(vendor, deny)).collect();
        let resources = (0..=self.below(2)).map(|_| self.resource_pattern(vendor, deny, app)).collect();
        let conditions = if self.heavy { self.heavy_conditions(app) } else { self.light_conditions() };
        let conditions = conditions.into_iter().flatten().collect();
        let patterns = |patterns| Patterns { negated: false, patterns };
        Statement { deny, actions: patterns(actions), resources: patterns(resources), conditions }
    }

    fn light_conditions(&mut self) -> Vec<Option<Condition>> {
        let (operator, key, values): (_, _, &[&str]) = match self.below(20) {
            0 => ("IpAddress", "aws:SourceIp", &["10.0.0.0/8", "203.0.113.0/24"]),
            1 => ("StringEquals", "aws:RequestedRegion", &["us-east-1", "eu-west-1"]),
            2 => ("Bool", "aws:MultiFactorAuthPresent", &["true"]),
            _ => return Vec::new(),
        };
        vec![Condition::new(operator, key, values.iter().map(|value| (*value).to_owned()).collect())]
    }

    fn heavy_conditions(&mut self, app: usize) -> Vec<Option<Condition>> {
        let mut blocks: Vec<String> = (0..99)
            .map(|number| format!("{}.{number}.{}.0/24", 11 + self.below(150), self.below(250)))
            .collect();
        blocks.insert(self.below(99), "10.20.0.0/16".to_owned());
        let tags = (0..20).map(|number| format!("team-{app}-{}", number * 3)).collect();
        let prefixes = ["home/${aws:username}/*", "shared/${aws:username}-*"].map(str::to_owned).into();
        let one = |text: &str| vec![text.to_owned()];
        vec![
            Condition::new("StringLike", "s3:prefix", prefixes),
            Condition::new("NumericLessThanEquals", "s3:max-keys", one("1000")),
            Condition::new("DateGreaterThan", "aws:CurrentTime", one("2024-01-01T00:00:00Z")),
            Condition::new("DateLessThan", "aws:CurrentTime", one("2027-01-01T00:00:00Z")),
            Condition::new("IpAddress", "aws:SourceIp", blocks),
            Condition::new("ForAnyValue:StringEquals", "aws:TagKeys", tags),
        ]
    }

    fn action_pattern(&mut self, vendor: usize, deny: bool) -> String {
        let (name, _, _, nouns) = VENDORS[vendor];
        match self.below(100) {
            0..60 => format!("{name}:{}{}", self.pick(&VERBS), self.pick(&nouns)),
            60..90 => format!("{name}:{}*", self.pick(&VERBS)),
            90..96 if !deny => format!("{name}:*"),
            _ => format!("{name}:*{}", self.pick(&nouns)),
        }
    }

    fn resource_pattern(&mut self, vendor: usize, deny: bool, app: usize) -> String {
        let region = self.pick(&REGIONS);
        match self.below(100) {
            0..20 => arn(vendor, region, &self.resource_name(app)),
            20..55 => arn(vendor, region, &format!("app{app:05}-*")),
            55..80 => arn(vendor, region, &format!("{}/*", self.resource_name(app))),
            80..90 => arn(vendor, region, &format!("app{app:05}-*/{}/*", self.pick(&FOLDERS))),
            90..95 => arn(vendor, "*", &format!("app{app:05}-prod-?*")),
            _ if deny => arn(vendor, "*", &format!("app{app:05}-*")),
            _ => "*".to_owned(),
        }
    }

    fn resource_name(&mut self, app: usize) -> String {
        format!("app{app:05}-{}-{}", self.pick(&STAGES), self.pick(&TOPICS))
    }

    /// Of ten questions six aim at a statement that applies, two at one but another app's resource, two at anything.
    pub(super) fn question(&mut self, user: usize, account: &Account) -> Question {
        let (principal, mode) = (text::user_arn(user), self.below(10));
        let vendor = self.below(VENDORS.len());
        let mut action_pattern = format!("{}:*", VENDORS[vendor].0);
        let (mut resource_pattern, mut tag) = ("*".to_owned(), "label-x".to_owned());
        if mode < 8 {
            let policy = &account.policies[self.pick(account.held(&principal))];
            let statement = &policy[self.below(policy.len())];
            action_pattern
                .clone_from(&statement.actions.patterns[self.below(statement.actions.patterns.len())]);
            resource_pattern
                .clone_from(&statement.resources.patterns[self.below(statement.resources.patterns.len())]);
            let tags = statement.conditions.iter().find(|condition| condition.key == "aws:TagKeys");
            tag = tags.map_or(tag, |tags| tags.values[7].clone());
        }
        let action = self.concrete_action(&action_pattern);
        let mut resource = self.concrete_resource(&resource_pattern, &action);
        if matches!(mode, 6 | 7) {
            resource = resource.replacen("app0", "app9", 1);
        }
        let inside = self.percent(80);
        let address = if inside { "10.20" } else { "198.51" };
        let mut context = vec![
            said("aws:SourceIp", format!("{address}.{}.{}", self.below(250), self.below(250))),
            said("aws:RequestedRegion", self.pick(&REGIONS).to_owned()),
        ];
        let mut now = NOW_SECONDS;
        if self.heavy {
            let name = principal.rsplit('/').next().unwrap_or_default();
            let home = if self.percent(85) { name } else { "other" };
            context.push(said("s3:prefix", format!("home/{home}/docs/2024")));
            context.push(said("s3:max-keys", if self.percent(90) { "100" } else { "5000" }.to_owned()));
            let mut tags: Vec<String> = (0..19).map(|number| format!("label-{number}")).collect();
            tags.insert(11, tag);
            context.push(("aws:TagKeys".to_owned(), Value::List(tags)));
            // Three years earlier, before the policies' first date.
            now -= if self.percent(90) { 0 } else { 3 * 365 * 86_400 };
        }
        let mfa = self.percent(70);
        let (expected, owned_keys) = (Reason::ImplicitDeny, OwnedKeys::Refuse);
        Question { principal, action, resource, context, mfa, now, owned_keys, expected }
    }

    /// Some action that the pattern matches: `v:VerbNoun`, `v:Verb*`, `v:*Noun` or `v:*`.
    fn concrete_action(&mut self, pattern: &str) -> String {
        let (vendor, name) = pattern.split_once(':').unwrap_or((pattern, ""));
        let nouns = VENDORS.iter().find(|(name, ..)| *name == vendor).map_or(VENDORS[0].3, |vendor| vendor.3);
        match name.split_once('*') {
            None => pattern.to_owned(),
            Some(("", "")) => format!("{vendor}:{}{}", self.pick(&VERBS), self.pick(&nouns)),
            Some(("", noun)) => format!("{vendor}:{}{noun}", self.pick(&VERBS)),
            Some((verb, _)) => format!("{vendor}:{verb}{}", self.pick(&nouns)),
        }
    }

    /// Some resource that the pattern matches and the action takes.
    fn concrete_resource(&mut self, pattern: &str, action: &str) -> String {
        if pattern == "*" {
            let named =
                |(vendor, ..): &(&str, &str, bool, [&str; 4])| action.split(':').next() == Some(*vendor);
            let vendor = VENDORS.iter().position(named).unwrap_or(0);
            let (app, region) = (self.below(self.apps), self.pick(&REGIONS));
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

fn said(key: &str, value: String) -> (String, Value) {
    (key.to_owned(), Value::Text(value))
}

fn arn(vendor: usize, region: &str, name: &str) -> String {
    let (vendor, kind, regional, _) = VENDORS[vendor];
    if regional {
        format!("arn:aws:{vendor}:{region}:{}:{kind}{name}", text::ACCOUNT)
    } else {
        format!("arn:aws:{vendor}:::{name}")
    }
}
