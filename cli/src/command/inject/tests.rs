//! In and out again leaves the same bytes, twice is once, and what is not plain to see is refused.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::*;

fn sidecar() -> Sidecar {
    let inject = Inject {
        files: Vec::new(),
        uninject: false,
        policies: Vec::new(),
        image: Some("portcullis:1".to_owned()),
        no_native: false,
        http_port: 8181,
        audit: crate::args::InjectAudit::None,
        set: Vec::new(),
        requests: Vec::new(),
        limits: Vec::new(),
    };
    Sidecar::new(
        &inject,
        vec![Source::ConfigMap("orders-policies".to_owned())],
        std::collections::BTreeMap::new(),
    )
}

fn injected(text: &str) -> String {
    change(text, Some(&sidecar()), &mut String::new()).unwrap()
}

fn uninjected(text: &str) -> String {
    change(text, None, &mut String::new()).unwrap()
}

fn refused(text: &str) -> String {
    let Fault { place, sentence } = change(text, Some(&sidecar()), &mut String::new()).unwrap_err();
    format!("{place}: {sentence}")
}

/// Pod specs of every shape that takes another way through the editor.
const SPECS: [&str; 12] = [
    "containers:\n  - name: app\n",
    "containers:\n- name: app\n",
    "containers:\n  - name: app\n    image: app:1\n",
    "containers:\n- image: app:1\n  name: app\n  env:\n  - name: A\n    value: \"on\"\n  volumeMounts:\n  - {name: v, mountPath: /v}\nvolumes:\n- name: v\n  emptyDir: {}\n",
    "initContainers:\n  - name: first\n    image: a:1\n    volumeMounts: []\ncontainers:\n  - name: app\n    env: []\n    image: b:1\nvolumes: []\n",
    "# the pod\nserviceAccountName: on\ncontainers:\n  # the app\n  - # first\n    name: app # a name\n    # its image\n    image: \"1.10\"\n    args:\n      - |\n        two\n          lines\n\n      - >-\n        folded\n        text\n  - name: other\n    env:\n      # why\n      - name: B\n        value: '0755'\n# the end\n",
    "containers: [{name: app, image: b}]\n",
    "containers: [{name: app, env: [{name: A}], volumeMounts: [{name: v, mountPath: /v}]}]\nvolumes: [{name: v}]\n",
    "securityContext: {}\ncontainers:\n  - name: app\n    env:\n    - name: A\n    resources: {}\n  -   name: b\n      image: c\n",
    "\"containers\":\n  - \"name\": \"app\"\n    'image': 'é'\n    tty: yes\n",
    "containers:\n  - name: app\n    command:\n    - sh\n    -   - nested\n        - list\n    x: &anchor\n      y: 1\n    z: *anchor\nhostNetwork: true\n",
    "containers:\n  -\n    name: app\n    image: b\nrestartPolicy: OnFailure\n",
];

/// Metadata of a pod template.
const METADATA: [&str; 8] = [
    "",
    "metadata: {}\n",
    "metadata: {labels: {app: a}}\n",
    "metadata: {annotations: {a: b}, labels: {app: a}}\n",
    "metadata:\n  labels: {app: a}\n",
    "metadata:\n  annotations:\n    a: b\n",
    "metadata:\n  labels:\n    app: a\n  annotations: {}\n",
    "metadata:\n  annotations: {\"a\": \"b\"}\n  labels:\n    app: a\n",
];

const WORKLOADS: [(&str, &str); 8] = [
    ("v1", "Pod"),
    ("v1", "ReplicationController"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
    ("batch/v1beta1", "CronJob"),
];

fn indented(text: &str, spaces: usize) -> String {
    let line = |line: &str| {
        if line.is_empty() { "\n".to_owned() } else { format!("{}{line}\n", " ".repeat(spaces)) }
    };
    text.lines().map(line).collect()
}

/// A manifest of a kind, with the metadata and the spec of its pods.
fn manifest(api_version: &str, kind: &str, metadata: &str, spec: &str) -> String {
    let mut text = format!("apiVersion: {api_version}\nkind: {kind}\n");
    let pod = format!("{metadata}spec:\n{}", indented(spec, 2));
    match kind {
        "Pod" => text.push_str(&pod),
        "CronJob" => {
            write!(text, "metadata:\n  name: x\nspec:\n  schedule: '* * * * *'\n  jobTemplate:\n    spec:\n")
                .unwrap();
            write!(text, "      template:\n{}", indented(&pod, 8)).unwrap();
        }
        _ => {
            let selector = if kind == "ReplicationController" { "  selector: {app: a}\n" } else { "" };
            write!(text, "metadata:\n  name: x\nspec:\n{selector}  template:\n{}", indented(&pod, 4))
                .unwrap();
        }
    }
    text
}

/// Every kind with every metadata and every spec.
fn manifests() -> impl Iterator<Item = String> {
    WORKLOADS.into_iter().flat_map(|(api_version, kind)| {
        METADATA.into_iter().flat_map(move |metadata| {
            SPECS.into_iter().map(move |spec| manifest(api_version, kind, metadata, spec))
        })
    })
}

/// A node as a value, plain scalars as their text.
fn value(node: &tree::Node) -> Value {
    match &node.content {
        tree::Content::Scalar { text, plain } => json!({ "text": text, "plain": plain }),
        tree::Content::Map(entries) => {
            entries.iter().map(|(key, node)| (key.text().unwrap().to_owned(), value(node))).collect()
        }
        tree::Content::List(items) => items.iter().map(value).collect(),
        tree::Content::Alias => json!("alias"),
    }
}

#[test]
fn in_and_out_again_is_the_same_and_twice_is_once() {
    let other_line_breaks =
        manifests().filter(|text| text.contains("kind: Job")).map(|text| text.replace('\n', "\r\n"));
    let mut count = 0;
    for text in manifests().chain(other_line_breaks) {
        let once = injected(&text);
        assert_ne!(once, text);
        assert_eq!(injected(&once), once, "twice is once: {text}");
        assert_eq!(uninjected(&once), text, "out again: {once}");
        assert_eq!(uninjected(&text), text);
        count += 1;
    }
    assert_eq!(count, (WORKLOADS.len() + 1) * METADATA.len() * SPECS.len());
}

/// What the pod has besides the sidecar is what it had; what it gets is complete.
#[test]
fn every_pod_gets_all_of_it() {
    for text in manifests() {
        let once = injected(&text);
        let documents = tree::documents(&once).unwrap();
        let objects = workload::objects(&documents[0]).unwrap();
        let Role::Workload(pod) = &objects[0].role else { panic!("{once}") };
        let first = &pod.list("initContainers")[0];
        let wanted = tree::documents(&sidecar().container().to_string()).unwrap();
        let names = |value: Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(value(first)), names(value(&wanted[0])), "{once}");
        assert!(pod.list("volumes").len() >= 2, "{once}");
        let labels = pod.template.get("metadata").unwrap().get("labels").unwrap();
        assert_eq!(workload::text_of(labels, "portcullis.dev/sidecar"), Some("true"), "{once}");
        for container in pod.list("initContainers").iter().skip(1).chain(pod.list("containers")) {
            let variable = &container.get("env").unwrap().items()[0];
            let mount = &container.get("volumeMounts").unwrap().items()[0];
            assert_eq!(workload::text_of(variable, "name"), Some("PORTCULLIS_SOCKET"), "{once}");
            assert_eq!(workload::text_of(mount, "name"), Some("portcullis-socket"), "{once}");
            assert_eq!(workload::text_of(mount, "readOnly"), Some("true"), "{once}");
        }
        assert!(pod.is_injected(), "{once}");
    }
}

#[test]
fn json_stays_json() {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "a\u{e9}\"b", "tty": 1.10}]}}},
    });
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": [deployment, {"kind": "Secret"}, deployment]});
    for text in [deployment.to_string(), serde_json::to_string_pretty(&list).unwrap()] {
        let once = injected(&text);
        let read: Value = serde_json::from_str(&once).unwrap();
        let first = read.get("items").map_or(&read, |items| &items[2]);
        assert_eq!(first["spec"]["template"]["spec"]["initContainers"][0], sidecar().container());
        assert_eq!(first["spec"]["template"]["spec"]["volumes"], Value::from(sidecar().volumes()));
        assert_eq!(injected(&once), once);
        assert_eq!(uninjected(&once), text);
    }
}

/// After `kubectl get -o yaml`: keys sorted, so that what was put in stands elsewhere and partly last.
#[test]
fn out_of_a_manifest_that_was_written_anew() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    a: b\n    portcullis.dev/injected: 0.1.0\n  \
                name: x\nspec:\n  containers:\n  - env:\n    - name: PORTCULLIS_SOCKET\n      value: /s\n    image: app\n    \
                name: app\n    volumeMounts:\n    - mountPath: /v\n      name: v\n    - mountPath: /run/portcullis\n      \
                name: portcullis-socket\n  initContainers:\n  - name: portcullis\n    args: |\n      text\n  volumes:\n  \
                - name: v\n  - configMap:\n      name: p\n    name: portcullis-policies\n  - emptyDir: {}\n    name: \
                portcullis-socket\n---\nkind: Other\n";
    let bare = "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    a: b\n  name: x\nspec:\n  containers:\n  \
                - image: app\n    name: app\n    volumeMounts:\n    - mountPath: /v\n      name: v\n  volumes:\n  \
                - name: v\n---\nkind: Other\n";
    assert_eq!(uninjected(text), bare);
}

/// What somebody added to an injected pod stays, whatever its name begins with.
#[test]
fn volumes_of_others_stay() {
    let mounts = "  volumeMounts:\n  - name: portcullis-ca\n    mountPath: /ca\n";
    let spec = format!("containers:\n- name: a\n{mounts}volumes:\n- name: portcullis-ca\n");
    let text = manifest("v1", "Pod", "", &spec);
    let several = vec![Source::ConfigMap("a".to_owned()), Source::Secret("b".to_owned())];
    let several = Sidecar { policies: several, ..sidecar() };
    let once = change(&text, Some(&several), &mut String::new()).unwrap();
    assert!(once.contains("portcullis-policies-1"), "{once}");
    assert_eq!(uninjected(&once), text);
}

/// A list in a list is looked into, and one whose items are elsewhere is not passed on.
#[test]
fn lists_in_lists() {
    let pod = indented(&manifest("v1", "Pod", "", SPECS[2]), 4).replacen("    ", "  - ", 1);
    let inner = format!("apiVersion: v1\nkind: List\nitems:\n{pod}");
    let text = format!("kind: List\nitems:\n- {}", indented(&inner, 2).trim_start());
    let mut report = String::new();
    let once = change(&text, Some(&sidecar()), &mut report).unwrap();
    assert_eq!(report, "pod/(no name) injected\n");
    assert_eq!(uninjected(&once), text);
    for text in
        ["a: &a []\nkind: List\nitems: *a\n", "a: &a {}\nkind: List\n<<: *a\n", "kind: List\nitems: {}\n"]
    {
        assert!(refused(text).contains("the items of this `List` are not here"), "{text}");
    }
    for text in ["kind: List\n", "kind: List\nitems: []\n", "kind: List\nitems:\n"] {
        assert_eq!(injected(text), text);
    }
}

/// The switch may be on, and is never overlooked.
#[test]
fn the_switch_is_read_or_the_manifest_refused() {
    let with = |of_workload: &str, of_pod: &str| {
        format!(
            "off: &off {{portcullis.dev/inject: disabled}}\n{}",
            manifest("apps/v1", "Deployment", of_pod, SPECS[2]).replacen("  name: x\n", of_workload, 1)
        )
    };
    for (of_workload, of_pod, wanted) in [
        ("  annotations: *off\n", "", "5:16: cannot see here whether deployment/(no name) has"),
        ("  annotations: {<<: *off}\n", "", "5:16: cannot see here"),
        ("  <<: *off\n", "", "5:3: cannot see here"),
        ("  name: x\n", "metadata: *off\n", "8:15: cannot see here"),
        ("  name: x\n", "metadata: {annotations: *off}\n", "8:29: cannot see here"),
        (
            "  annotations: {portcullis.dev/inject: \"false\"}\n",
            "",
            "5:40: `portcullis.dev/inject` of deployment/(no name) must be `disabled` or `enabled`",
        ),
    ] {
        let found = refused(&with(of_workload, of_pod));
        assert!(found.starts_with(wanted), "{of_workload}{of_pod}: {found}");
    }
    let on = with("  annotations: {portcullis.dev/inject: enabled}\n", "");
    assert_ne!(injected(&on), on);
}

#[test]
fn a_label_that_would_select_is_not_put_in() {
    let text = manifest("v1", "ReplicationController", "", SPECS[2]);
    let bare = text.replace("  selector: {app: a}\n", "");
    assert!(refused(&bare).contains("replicationcontroller/x has no `selector`"), "{}", refused(&bare));
    let quiet = Sidecar { http_port: 0, ..sidecar() };
    let once = change(&bare, Some(&quiet), &mut String::new()).unwrap();
    assert!(!once.contains("portcullis.dev/sidecar"), "{once}");
    assert_eq!(uninjected(&once), bare);
}

#[test]
fn null_lists_are_filled_and_stay_empty_lists() {
    let text = manifest(
        "v1",
        "Pod",
        "metadata:\n  annotations:\n",
        "containers:\n- name: a\n  env:\nvolumes: null\n",
    );
    let once = injected(&text);
    assert_eq!(injected(&once), once);
    let empty =
        text.replace("env:", "env: []").replace("null", "[]").replace("annotations:", "annotations: {}");
    assert_eq!(uninjected(&once), empty);
}

#[test]
fn other_documents_stay_byte_for_byte() {
    let other = "# comment\nkind: ConfigMap\ndata: {a: on,   b: 1.10}\n";
    let pod = manifest("v1", "Pod", "", SPECS[2]);
    let text = format!("{other}---\n\n---\n{pod}--- # next\n{other}...\n");
    let once = injected(&text);
    assert!(
        once.starts_with(&format!("{other}---\n\n---\n"))
            && once.ends_with(&format!("--- # next\n{other}...\n"))
    );
    assert_eq!(uninjected(&once), text);
}

#[test]
fn the_switch_and_other_kinds() {
    let mut report = String::new();
    let off = "metadata:\n  name: off\n  annotations: {portcullis.dev/inject: disabled}\n";
    let text = format!(
        "{}---\nkind: Service\nmetadata: {{name: s}}\n---\n{}---\napiVersion: batch.volcano.sh/v1alpha1\nkind: Job\n",
        manifest("v1", "Pod", off, SPECS[2]),
        manifest("apps/v1", "Deployment", off, SPECS[2])
    );
    assert_eq!(change(&text, Some(&sidecar()), &mut report).unwrap(), text);
    let lines = [
        "pod/off skipped: portcullis.dev/inject is disabled",
        "service/s skipped: has no pods",
        "deployment/x skipped: portcullis.dev/inject is disabled",
        "job/(no name) skipped: has no pods",
    ];
    assert_eq!(report.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn what_is_not_plain_is_refused_with_its_place() {
    let pod = |spec: &str| manifest("v1", "Pod", "", spec);
    for (text, wanted) in [
        (pod("containers: []\n"), "4:3: pod/(no name) has no `containers` here"),
        ("kind: Pod\napiVersion: v1\n".to_owned(), "1:1: pod/(no name) has no `spec` here"),
        ("apiVersion: v1\nkind: Secret\n---\nnot a manifest\n".to_owned(), "4:1: this is no object of Kubernetes"),
        ("- kind: Pod\n".to_owned(), "1:1: this is no object of Kubernetes: it has no `kind`"),
        ("replicas: 2\n".to_owned(), "1:1: this is no object of Kubernetes: it has no `kind`"),
        ("kind: Deployment\nspec: {}\n".to_owned(), "1:1: deployment/(no name) has no `apiVersion`"),
        ("kind: DeploymentList\napiVersion: apps/v1\nitems: []\n".to_owned(), "1:1: a `DeploymentList` is not taken apart"),
        (
            "kind: List\napiVersion: v1\nitems:\n- apiVersion: batch/v1\n  kind: Job\n  metadata: {name: j}\n  spec: {}\n".to_owned(),
            "7:9: job/j has no `template` here",
        ),
        (pod("containers:\n- name: portcullis\n"), "5:5: a container `portcullis` is here already"),
        (pod("containers:\n- name: a\nvolumes:\n- name: portcullis-socket\n"), "7:5: a volume"),
        (
            pod("containers:\n- name: a\n  env:\n  - name: PORTCULLIS_SOCKET\n"),
            "7:7: a variable `PORTCULLIS_SOCKET`",
        ),
        (
            pod("containers:\n- name: a\n  volumeMounts:\n  - mountPath: /run/portcullis/\n"),
            "7:7: a mount at `/run/portcullis`",
        ),
        (pod("os: {name: windows}\ncontainers:\n- name: a\n"), "4:3: these pods run on Windows"),
        (
            pod("initContainers:\n- name: a\n  volumeMounts:\n  - mountPath: /run/portcullis/below\ncontainers:\n- name: b\n"),
            "7:7: a mount at `/run/portcullis`",
        ),
        (
            manifest("v1", "Pod", "metadata: {labels: {portcullis.dev/sidecar: \"no\"}}\n", SPECS[2]),
            "3:45: the label `portcullis.dev/sidecar` is here already",
        ),
        (pod("containers:\n- name: a\n  ports:\n  - containerPort: 8181\n"), "7:7: port 8181"),
        (
            pod("containers:\n- name: a\n  env: &e\n  - name: A\n- name: b\n  env: *e\n"),
            "shared through an anchor",
        ),
        (pod("containers:\n- <<: {image: a}\n  name: a\n"), "5:5: this mapping is merged"),
        (pod("containers:\n- ? name\n  : a\n"), "5:7: cannot put anything before this"),
        (pod("a: 1\na: 2\n"), "5:3: the key `a` stands twice"),
        (pod("containers:\n- name: a\n  env: text\n"), "6:10: this must be a list"),
        ("a: [1\n".to_owned(), "1:4: unclosed"),
    ] {
        let found = refused(&text);
        assert!(found.contains(wanted), "{text}: {found}");
    }
}

#[test]
fn without_native_sidecars() {
    let old = Sidecar { native: false, ..sidecar() };
    let text = manifest("apps/v1", "Deployment", "", SPECS[2]);
    let once = change(&text, Some(&old), &mut String::new()).unwrap();
    assert!(!once.contains("restartPolicy") && !once.contains("initContainers"), "{once}");
    assert!(once.contains("PORTCULLIS_DRAIN_DELAY_MS"), "{once}");
    assert_eq!(uninjected(&once), text);
    let job = manifest("batch/v1", "Job", "", SPECS[2]);
    let pod = manifest("v1", "Pod", "", "containers:\n- name: a\nrestartPolicy: Never\n");
    for ends in [job, pod] {
        let fault = change(&ends, Some(&old), &mut String::new()).unwrap_err();
        assert!(fault.sentence.contains("would never end"), "{}", fault.sentence);
    }
    let quick = Sidecar { settings: [("drain_delay_ms".to_owned(), "7".to_owned())].into(), ..old };
    let once = change(&text, Some(&quick), &mut String::new()).unwrap();
    assert_eq!(once.matches("PORTCULLIS_DRAIN_DELAY_MS").count(), 1, "{once}");
    // Init containers are done when it starts.
    let early = manifest("v1", "Pod", "", SPECS[4]);
    let once = change(&early, Some(&quick), &mut String::new()).unwrap();
    assert_eq!(once.matches("PORTCULLIS_SOCKET").count(), 2, "{once}");
}

#[test]
fn plain_text_is_written_without_quotes_only_when_it_is_a_string() {
    let text = write::block_entry(
        "k",
        &json!(["abc", "on", "1.10", "a:b", "a:", "", "/p", "é", "y", "a b", 8181]),
        0,
    );
    assert_eq!(text, "k: [abc, \"on\", \"1.10\", a:b, \"a:\", \"\", /p, \"é\", \"y\", \"a b\", 8181]\n");
}
