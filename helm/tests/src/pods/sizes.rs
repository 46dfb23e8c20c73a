//! Pods with policies of a size: how long until one is ready, and until a change is enforced. The numbers are printed; what is
//! asserted is that it happens, in a time that no machine needs.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};

use super::{answers, confined, create, measured, rewrite, workload};
use crate::case::Case;
use crate::guard::until;
use crate::kubelet::{self, Node};
use crate::life::Place;

/// Far more than the second that is wanted: others may use this machine too, and the program may not be optimized.
const BOUND: Duration = Duration::from_secs(60);

/// Users by themselves, two statements each.
fn users(source: usize, count: usize) -> Value {
    let user = |number: usize| {
        let name = format!("user-{source}-{number}");
        json!({
            "UserName": name, "Arn": format!("arn:aws:iam::123456789012:user/{name}"),
            "UserPolicyList": [{"PolicyName": "own", "PolicyDocument": {"Version": "2012-10-17", "Statement": [
                {"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectTagging"],
                 "Resource": format!("arn:aws:s3:::homes/{name}/*")},
                {"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::homes",
                 "Condition": {"StringLike": {"s3:prefix": format!("{name}/*")}}},
            ]}}],
        })
    };
    json!({"UserDetailList": (0..count).map(user).collect::<Vec<_>>()})
}

/// Policies of several ConfigMaps, each with users of its own; a change of the last one is enforced.
pub(crate) fn of(place: Place<'_>, case: &Case, sources: usize, count: usize) -> anyhow::Result<()> {
    let mut bytes = 0;
    for source in 0..sources {
        let text = users(source, count).to_string();
        bytes += text.len();
        let metadata = json!({"name": format!("users-{source}")});
        create(
            place,
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"users.json": text}}),
        )?;
    }
    let names: Vec<_> = (0..sources).map(|source| format!("users-{source}")).collect();
    let from = format!("--set=policies.configMap=,policies.configMaps={{{}}}", names.join(","));
    place.install(case, &[&from])?;
    let node = Node::new(place.rig, place.cluster, place.namespace)?;
    let mut pod = workload(place, &node)?;
    let statements = 2 * sources * count;
    let what = format!("a pod with {statements} statements of {} KiB in {sources} ConfigMap(s)", bytes >> 10);
    let begun = Instant::now();
    confined(&mut pod, &what)?;
    ensure!(begun.elapsed() < BOUND, "{what} takes {:?}", begun.elapsed());

    let container = pod.container("portcullis")?;
    let last = sources - 1;
    let user = format!("user-{last}-{}", count - 1);
    let question = [
        format!("--principal=arn:aws:iam::123456789012:user/{user}"),
        "--action=s3:GetObject".to_owned(),
        format!("--resource=arn:aws:s3:::homes/{user}/file"),
    ];
    let question = question.each_ref().map(String::as_str);
    let here = "--server=127.0.0.1:8180";
    ensure!(answers(container, here, &question, "allow")?, "what is allowed is denied");
    rewrite(place, &format!("users-{last}"), "\"Allow\"", "\"Deny\"")?;
    let volume =
        if sources == 1 { "portcullis-policies".to_owned() } else { format!("portcullis-policies-{last}") };
    let begun = Instant::now();
    kubelet::publish(&pod, &volume)?;
    until("the change is enforced", || Ok(answers(container, here, &question, "deny")?.then_some(())))?;
    ensure!(begun.elapsed() < BOUND, "{what} takes {:?} to enforce a change", begun.elapsed());
    measured(&format!("{what} enforces a change after"), begun.elapsed())
}
