//! The file of tokens, and which call passes with which.

use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbb-._~+/bbbbbbbbbbbbbbbb==";

fn set(text: &str) -> TokenSet {
    TokenSet { tokens: file::parse(text.as_bytes()).unwrap(), digest: blake3::hash(b"") }
}

fn wrong(text: &str) -> Vec<String> {
    file::parse(text.as_bytes()).unwrap_err()
}

fn request(path: &str, values: &[&str]) -> Request<()> {
    let mut request = Request::post(path);
    for value in values {
        request = request.header(AUTHORIZATION, *value);
    }
    request.body(()).unwrap()
}

fn path(method: &str) -> &'static str {
    METHODS.iter().find(|(name, _)| *name == method).unwrap().1
}

#[test]
fn the_file_has_names_tokens_methods_and_comments() {
    let text = format!("# who\n\n{A}\n  ci.2\t{B}  methods=Authorize,Reflection \r\n");
    let set = set(&text);
    let of = |at: usize| (&*set.tokens[at].name, set.tokens[at].methods);
    assert_eq!(of(0), ("line 3", Methods::DECISIONS));
    assert_eq!(of(1), ("ci.2", Methods(1 | 1 << REFLECTION_AT)));
    assert_eq!(set.tokens.len(), 2);
}

#[test]
fn everything_wrong_is_said_at_once_and_nothing_is_quoted() {
    let short = "canary-canary";
    let text = format!(
        "{short}\n{A} {B}\nname {A} methods=Authorise\n{A} methods=\nx y z\nna/me {A}\n{A}\n{A}\n=canary={A}\n"
    );
    let wrong = wrong(&text);
    let starts: Vec<_> = wrong.iter().map(|sentence| sentence.split(':').next().unwrap()).collect();
    assert_eq!(starts, ["line 1", "line 2", "line 3", "line 4", "line 5", "line 6", "line 8", "line 9"]);
    let all = wrong.join("\n");
    for secret in [short, A, B, "Authorise", "na/me", "canary"] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[test]
fn a_file_without_tokens_or_with_too_many_is_wrong() {
    assert_eq!(wrong("# none\n"), ["no token is in it"]);
    assert_eq!(file::parse(&[0xff]).unwrap_err(), ["it is not UTF-8"]);
    let many: String = (0..257).map(|number| format!("{number:040}\n")).collect();
    assert_eq!(wrong(&many), ["more than 256 tokens are in it"]);
    assert_eq!(set(many.rsplit_once("00").unwrap().0.rsplit_once('\n').unwrap().0).tokens.len(), 256);
    assert!(file::parse("c".repeat(4_097).as_bytes()).is_err());
    assert!(file::parse("c".repeat(4_096).as_bytes()).is_ok());
}

#[test]
fn a_call_needs_one_token_that_is_for_it() {
    let set = set(&format!("{A}\nops {B} methods=GetStatus\nall {A}{A} methods=*\n"));
    let ask = |path: &str, values: &[&str]| set.admit(&mut request(path, values)).err();
    let (of_a, of_b, of_all) = (format!("Bearer {A}"), format!("bearer  {B}"), format!("BEARER {A}{A}"));
    let (nobody, not_this) = (Some(Refusal::Unauthenticated), Some(Refusal::NotPermitted));
    for method in ["Authorize", "BatchAuthorize", "AuthorizeStream"] {
        assert_eq!(ask(path(method), &[&of_a]), None);
        assert_eq!(ask(path(method), &[&of_b]), not_this);
        assert_eq!(ask(path(method), &[&of_all]), None);
    }
    assert_eq!(ask(path("GetStatus"), &[&of_a]), not_this);
    assert_eq!(ask(path("GetStatus"), &[&of_b]), None);
    for unknown in ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/x/Authorize", "/"] {
        assert_eq!(ask(unknown, &[&of_a]), not_this);
        assert_eq!(ask(unknown, &[&of_all]), None);
    }
    for values in [
        &[][..],
        &[""],
        &[A],
        &["Bearer"],
        &["Bearer "],
        &[&format!("Basic {A}")],
        &[&format!("Bearer {A}x")],
        &[&format!("Bearer {}", A.trim_start_matches("a"))],
        &[&format!("Bearer a{A}")],
        &[&of_a, &of_a],
    ] {
        assert_eq!(ask(path("Authorize"), values), nobody, "{values:?}");
    }
    assert_eq!(ask("/grpc.health.v1.Health/Check", &[]), None);
    assert_eq!(ask("/grpc.health.v1.HealthX/Check", &[]), nobody);
}

#[test]
fn the_token_is_taken_off_the_request_whatever_becomes_of_it() {
    let set = set(A);
    for (path, value) in [
        (path("Authorize"), A),
        (path("Simulate"), A),
        (path("Authorize"), B),
        ("/grpc.health.v1.Health/Check", B),
    ] {
        let mut request = request(path, &[&format!("Bearer {value}")]);
        let _ = set.admit(&mut request);
        assert!(!request.headers().contains_key(AUTHORIZATION));
    }
}

#[test]
fn less_is_noticed() {
    let both = set(&format!("{A}\n{B}\n"));
    assert!(!both.narrows_to(&both));
    assert!(!set(A).narrows_to(&both), "one more");
    assert!(both.narrows_to(&set(A)), "one less");
    assert!(set(A).narrows_to(&set(&format!("{A} methods=Authorize"))), "for less");
    assert!(!set(A).narrows_to(&set(&format!("other {A} methods=*"))), "for more");
}
