//! `inject`: manifests in, manifests out, a report beside them.

use crate::program::{run, run_with_input};

const MANIFEST: &str = r#"# The orders service.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders
spec:
  template:
    metadata:
      labels: {app: orders}
    spec:
      containers:
        - name: orders
          image: "orders:1.10"
          env:
            - name: LEGACY
              value: "on" # not a boolean
---
apiVersion: v1
kind: Service
metadata: {name: orders}
"#;

const INJECTED: &str = r#"# The orders service.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders
spec:
  template:
    metadata:
      annotations:
        portcullis.dev/injected: "VERSION"
      labels: {app: orders}
    spec:
      initContainers:
        - name: portcullis
          image: registry.example/portcullis:1
          imagePullPolicy: IfNotPresent
          restartPolicy: Always
          args: [serve, /policies]
          env:
            - name: PORTCULLIS_AUDIT_FILE
              value: "-"
            - name: PORTCULLIS_AUDIT_MODE
              value: block
            - name: PORTCULLIS_DRAIN_MS
              value: "10000"
            - name: PORTCULLIS_HTTP_LISTEN
              value: ""
            - name: PORTCULLIS_LISTEN
              value: ""
            - name: PORTCULLIS_LOAD_MODE
              value: strict
            - name: PORTCULLIS_LOG
              value: info
            - name: PORTCULLIS_LOG_FORMAT
              value: json
            - name: PORTCULLIS_ON_AUDIT_FAILURE
              value: allow
            - name: PORTCULLIS_POLL_INTERVAL_MS
              value: "5000"
            - name: PORTCULLIS_STATE_DIRECTORY
              value: /state
            - name: PORTCULLIS_UDS
              value: /run/portcullis/pdp.sock
            - name: PORTCULLIS_UDS_ACCESS
              value: all
            - name: PORTCULLIS_SOCKET
              value: /run/portcullis/pdp.sock
          startupProbe:
            exec:
              command: [/portcullis, healthcheck, "--uds", /run/portcullis/pdp.sock]
            periodSeconds: 1
            timeoutSeconds: 2
            failureThreshold: 300
          readinessProbe:
            exec:
              command: [/portcullis, healthcheck, "--uds", /run/portcullis/pdp.sock]
            periodSeconds: 5
            timeoutSeconds: 2
            failureThreshold: 2
          livenessProbe:
            exec:
              command: [/portcullis, status, "--uds", /run/portcullis/pdp.sock]
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          securityContext:
            runAsNonRoot: true
            runAsUser: 65532
            runAsGroup: 65532
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
            seccompProfile:
              type: RuntimeDefault
          resources:
            requests:
              cpu: "10m"
              memory: "32Mi"
            limits:
              cpu: "1"
              memory: "128Mi"
          volumeMounts:
            - name: portcullis-policies
              mountPath: /policies
              readOnly: true
            - name: portcullis-socket
              mountPath: /run/portcullis
            - name: portcullis-state
              mountPath: /state
      volumes:
        - name: portcullis-policies
          configMap:
            name: orders-policies
        - name: portcullis-socket
          emptyDir:
            medium: Memory
            sizeLimit: "1Mi"
        - name: portcullis-state
          emptyDir:
            sizeLimit: "256Mi"
      containers:
        - name: orders
          volumeMounts:
            - name: portcullis-socket
              mountPath: /run/portcullis
              readOnly: true
          image: "orders:1.10"
          env:
            - name: PORTCULLIS_SOCKET
              value: /run/portcullis/pdp.sock
            - name: LEGACY
              value: "on" # not a boolean
---
apiVersion: v1
kind: Service
metadata: {name: orders}
"#;

#[test]
fn a_manifest_gets_the_sidecar_and_loses_it_again() {
    let flags = [
        "inject",
        "--policies",
        "orders-policies",
        "--image",
        "registry.example/portcullis:1",
        "--set",
        "load_mode=strict",
        "--audit",
        "stdout",
    ];
    let once = run_with_input(&flags, MANIFEST);
    assert_eq!(once.code, 0, "{}", once.err);
    assert_eq!(once.out, INJECTED.replace("VERSION", env!("CARGO_PKG_VERSION")));
    assert_eq!(once.err, "deployment/orders injected\nservice/orders skipped: has no pods\n");
    assert_eq!(run_with_input(&flags, &once.out).out, once.out);
    let out = run_with_input(&["inject", "--uninject"], &once.out);
    assert_eq!((out.code, out.out.as_str()), (0, MANIFEST));
    assert_eq!(out.err, "deployment/orders uninjected\nservice/orders skipped: has no pods\n");
}

#[test]
fn several_files_are_one_stream_and_several_sources_one_directory() {
    let directory = tempfile::TempDir::new().unwrap();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: a}]}";
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("a.yaml"), pod).unwrap();
    std::fs::write(path("b.yaml"), format!("---\n{pod}\n")).unwrap();
    let (a, b) = (path("a.yaml"), path("b.yaml"));
    let run = run(&[
        "inject",
        "--policies",
        "secret/two",
        "--policies",
        "one",
        "--http-port",
        "9000",
        "--audit",
        "file",
        &a,
        &b,
    ]);
    assert_eq!(run.code, 0, "{}", run.err);
    let documents: Vec<_> = run.out.split("---\n").collect();
    assert_eq!(documents.len(), 2, "{}", run.out);
    for part in [
        r#"{"name":"portcullis-policies-0","configMap":{"name":"one"}}"#,
        r#"{"name":"portcullis-policies-1","mountPath":"/policies/secret-two","readOnly":true}"#,
        r#"{"name":"portcullis-audit","mountPath":"/audit"}"#,
        r#"{"name":"PORTCULLIS_AUDIT_FILE","value":"/audit/$(POD_NAME).jsonl"}"#,
        r#"{"name":"PORTCULLIS_HTTP_LISTEN","value":"0.0.0.0:9000"}"#,
        r#""livenessProbe":{"httpGet":{"path":"/livez","port":"portcullis-http"}"#,
    ] {
        assert!(documents.iter().all(|document| document.contains(part)), "{part}: {}", run.out);
    }
}

#[test]
fn a_mistake_writes_nothing() {
    let broken = format!("{MANIFEST}---\nkind: [\n");
    let run = run_with_input(&["inject", "--policies", "p", "-"], &broken);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(run.err.starts_with("error: (standard input):22:7: unclosed"), "{}", run.err);
}

#[test]
fn what_is_wrong_is_said_with_its_file_its_place_and_its_name() {
    let directory = tempfile::TempDir::new().unwrap();
    let pod = |spec: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n{spec}");
    for (text, wanted) in [
        ("a: [1\n".to_owned(), "1:4: unclosed"),
        ("not a manifest\n".to_owned(), "1:1: this is no object of Kubernetes"),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {}\n".to_owned(),
            "4:7: deployment/d has no `template`",
        ),
        (
            pod("  containers: [{name: a}, {name: portcullis, image: other}]\n"),
            "5:27: a container `portcullis` is here already, and was not put here by inject: take it out",
        ),
        (
            pod("  containers: [{name: a}]\n  volumes:\n    - name: portcullis-socket\n      emptyDir: {}\n"),
            "7:7: a volume `portcullis-socket` is here already, and was not put here by inject: take it out",
        ),
    ] {
        let file = directory.path().join("pods.yaml");
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let run = run(&["inject", "--policies", "p", file]);
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{wanted}");
        assert!(run.err.starts_with(&format!("error: {file}:{wanted}")), "{wanted}: {}", run.err);
    }
    let file = directory.path().join("bytes.yaml");
    std::fs::write(&file, [0xff, 0xfe, b'a']).unwrap();
    let run = run(&["inject", "--policies", "p", file.to_str().unwrap()]);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(run.err.contains("bytes.yaml") && run.err.contains("UTF-8"), "{}", run.err);
}

#[test]
fn settings_that_would_stop_the_sidecar_are_usage_errors() {
    for (flags, sentence) in [
        (
            &["--policies", "p", "--set", "load_moed=strict"] as &[_],
            "`PORTCULLIS_LOAD_MOED` is not a setting",
        ),
        (&["--policies", "p", "--set", "load_mode=hard"], "`load_mode` is"),
        (&["--policies", "p", "--set", "load_mode"], "must be NAME=VALUE"),
        (&["--policies", "pod/p"], "must be NAME or secret/NAME"),
        (&["--policies", ""], "must be NAME or secret/NAME"),
        (&["--policies", "secret/"], "must be NAME or secret/NAME"),
        (&["--policies", "Team_A"], "must be NAME or secret/NAME"),
        (&["--policies", "configmap/a/b"], "must be NAME or secret/NAME"),
        (&["--policies", "p", "--image", ""], "must name an image"),
        (&["--policies", "p", "--image", "portcullis:1 "], "must name an image"),
        (&["--policies", "p", "--http-port", "80"], "must be 1024 or more"),
        (&["--policies", "p", "--set", "uds=/tmp/s"], "`uds` cannot be set here: callers and probes look"),
        (&["--policies", "p", "--set", "HTTP_LISTEN="], "`http_listen` cannot be set here: --http-port"),
        (&["--policies", "p", "--limits", "memory"], "must be NAME=VALUE"),
        (&["--policies", "p", "--limits", "memory=64MB"], "`64MB` is no quantity"),
        (&["--policies", "p", "--limits", "ram=1"], "`ram` is no resource of a container"),
        (&["--policies", "p", "--limits", "cpu=5m"], "--requests cpu=10m is more than its limit, 5m"),
        (
            &["--policies", "p", "--requests", "memory=1Gi"],
            "--requests memory=1Gi is more than its limit, 128Mi",
        ),
        (&[], "--policies"),
        (&["--uninject", "--policies", "p"], "cannot be used with"),
    ] {
        let arguments = [&["inject"], flags].concat();
        let run = run_with_input(&arguments, MANIFEST);
        assert_eq!((run.code, run.out.as_str()), (64, ""), "{arguments:?}");
        assert!(run.err.contains(sentence), "{arguments:?}: {}", run.err);
    }
}

/// A given amount is instead of the usual one of its name, and the probes are among those that may connect.
#[test]
fn what_is_given_is_beside_what_is_usual() {
    let flags = ["inject", "--policies", "p", "--policies", "configmap/p"];
    let given = ["--requests", "cpu=,memory=48Mi", "--limits", "memory=96Mi", "--set", "UDS_ALLOWED_UIDS=7"];
    let run = run_with_input(&[&flags[..], &given[..]].concat(), MANIFEST);
    assert_eq!(run.code, 0, "{}", run.err);
    for part in [
        "requests:\n              memory: \"48Mi\"\n",
        "limits:\n              cpu: \"1\"\n              memory: \"96Mi\"\n",
        "- name: PORTCULLIS_UDS_ALLOWED_UIDS\n              value: \"7,65532\"\n",
        "- name: portcullis-policies\n              mountPath: /policies\n",
    ] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
}
