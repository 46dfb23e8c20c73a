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
          restartPolicy: Always
          args: [serve, /policies]
          env:
            - name: PORTCULLIS_UDS
              value: /run/portcullis/portcullis.sock
            - name: PORTCULLIS_UDS_ACCESS
              value: all
            - name: PORTCULLIS_LISTEN
              value: ""
            - name: PORTCULLIS_HTTP_LISTEN
              value: "0.0.0.0:8181"
            - name: PORTCULLIS_LOAD_MODE
              value: strict
            - name: PORTCULLIS_AUDIT_FILE
              value: "-"
          ports:
            - name: portcullis-http
              containerPort: 8181
          startupProbe:
            httpGet:
              path: /readyz
              port: portcullis-http
            periodSeconds: 1
            failureThreshold: 60
          readinessProbe:
            httpGet:
              path: /readyz
              port: portcullis-http
            periodSeconds: 5
          livenessProbe:
            httpGet:
              path: /livez
              port: portcullis-http
            periodSeconds: 10
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
              memory: "128Mi"
          volumeMounts:
            - name: portcullis-policies
              mountPath: /policies
              readOnly: true
            - name: portcullis-socket
              mountPath: /run/portcullis
      volumes:
        - name: portcullis-policies
          configMap:
            name: orders-policies
        - name: portcullis-socket
          emptyDir:
            medium: Memory
            sizeLimit: "1Mi"
      containers:
        - name: orders
          volumeMounts:
            - name: portcullis-socket
              mountPath: /run/portcullis
              readOnly: true
          image: "orders:1.10"
          env:
            - name: PORTCULLIS_SOCKET
              value: /run/portcullis/portcullis.sock
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
        "--audit-file",
        "-",
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
        "one",
        "--policies",
        "secret/two",
        "--http-port",
        "0",
        "--audit-file",
        "/var/log/portcullis/audit.jsonl",
        &a,
        &b,
    ]);
    assert_eq!(run.code, 0, "{}", run.err);
    let documents: Vec<_> = run.out.split("---\n").collect();
    assert_eq!(documents.len(), 2, "{}", run.out);
    for part in [
        r#""projected":{"sources":[{"configMap":{"name":"one"}},{"secret":{"name":"two"}}]}"#,
        r#"{"name":"portcullis-audit","mountPath":"/var/log/portcullis"}"#,
        r#""exec":{"command":["/portcullis","healthcheck","--uds","/run/portcullis/portcullis.sock"]}"#,
    ] {
        assert!(documents.iter().all(|document| document.contains(part)), "{part}: {}", run.out);
    }
    assert!(!run.out.contains("livenessProbe"));
}

#[test]
fn a_mistake_writes_nothing() {
    let broken = format!("{MANIFEST}---\nkind: [\n");
    let run = run_with_input(&["inject", "--policies", "p", "-"], &broken);
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(run.err.starts_with("error: (standard input):24:1: "), "{}", run.err);
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
        (&["--policies", "p", "--audit-file", "audit.jsonl"], "absolute path"),
        (&[], "--policies"),
        (&["--uninject", "--policies", "p"], "cannot be used with"),
    ] {
        let arguments = [&["inject"], flags].concat();
        let run = run_with_input(&arguments, MANIFEST);
        assert_eq!((run.code, run.out.as_str()), (64, ""), "{arguments:?}");
        assert!(run.err.contains(sentence), "{arguments:?}: {}", run.err);
    }
}
