//! When a kept decision is served, and when not.

use super::*;
use crate::decision::{Layer, Message, Reason};

fn state(ttl: Duration) -> Cached {
    let state = State {
        kept: quick_cache::sync::Cache::new(100),
        ttl,
        active: sync::Mutex::default(),
        epoch: AtomicU64::new(0),
        observer: None,
    };
    let watch = tokio::spawn(std::future::pending::<()>()).abort_handle();
    Cached { state: Arc::new(state), watch }
}

fn said(revision: &str, generation: u64) -> Said {
    Said {
        allowed: true,
        reason: Reason::Allowed,
        layer: Layer::Identity,
        message: Message::Worded(String::new()),
        statements: Vec::new(),
        missing_context_keys: Vec::new(),
        depends_on_time: false,
        revision: revision.into(),
        generation,
        request_id: String::new(),
    }
}

const ASKED: Bytes = Bytes::from_static(b"q");
const LONG: Duration = Duration::from_secs(3_600);

/// Asks, keeps the answer, and asks again.
fn kept(cached: &Cached, said: Said) -> bool {
    let epoch = cached.get(&ASKED).unwrap_err();
    cached.put(ASKED, epoch, &Arc::new(said));
    cached.get(&ASKED).is_ok()
}

#[tokio::test]
async fn nothing_is_kept_before_a_revision_is_named_nor_after_it_is_lost() {
    let cached = state(LONG);
    assert!(!kept(&cached, said("a", 1)));
    cached.state.become_active(Some(("a".into(), 1)));
    assert!(kept(&cached, said("a", 1)));
    cached.state.lose();
    assert!(cached.get(&ASKED).is_err());
    assert!(!kept(&cached, said("a", 1)));
}

#[tokio::test]
async fn another_revision_drops_everything_whoever_names_it() {
    let cached = state(LONG);
    cached.state.become_active(Some(("a".into(), 1)));
    assert!(kept(&cached, said("a", 1)));
    cached.state.become_active(Some(("a".into(), 1)));
    assert!(cached.get(&ASKED).is_ok(), "the same again changes nothing");
    cached.state.become_active(Some(("b".into(), 2)));
    assert!(!kept(&cached, said("a", 1)), "an answer from before is not kept");
    assert!(kept(&cached, said("b", 2)));
    // An answer names what the watch has not told yet.
    let epoch = cached.get(&Bytes::from_static(b"other")).unwrap_err();
    cached.put(Bytes::from_static(b"other"), epoch, &Arc::new(said("c", 3)));
    assert!(cached.get(&ASKED).is_err());
    assert!(kept(&cached, said("c", 3)));
    // The same policies again, in a later generation, are others.
    assert!(!kept_again(&cached));
}

#[tokio::test]
async fn older_policies_are_not_adopted_again() {
    let cached = state(LONG);
    cached.state.become_active(Some(("a".into(), 1)));
    cached.heard_of("b", 2);
    // The watch is behind.
    cached.state.become_active(Some(("a".into(), 1)));
    assert!(!kept(&cached, said("a", 1)));
    assert!(kept(&cached, said("b", 2)));
}

#[tokio::test]
async fn an_answer_from_before_newer_policies_were_heard_of_is_not_served() {
    let cached = state(LONG);
    let epoch = cached.get(&ASKED).unwrap_err();
    cached.heard_of("b", 2);
    cached.state.become_active(Some(("a".into(), 1)));
    cached.put(ASKED, epoch, &Arc::new(said("a", 1)));
    assert!(cached.get(&ASKED).is_err());
}

fn kept_again(cached: &Cached) -> bool {
    cached.state.become_active(Some(("c".into(), 4)));
    cached.get(&ASKED).is_ok()
}

#[tokio::test]
async fn an_answer_asked_for_before_a_change_is_not_served_after_it() {
    let cached = state(LONG);
    cached.state.become_active(Some(("a".into(), 1)));
    let epoch = cached.get(&ASKED).unwrap_err();
    cached.state.lose();
    cached.state.become_active(Some(("a".into(), 1)));
    cached.put(ASKED, epoch, &Arc::new(said("a", 1)));
    assert!(cached.get(&ASKED).is_err());
}

#[tokio::test]
async fn what_may_be_otherwise_later_is_not_kept() {
    let cached = state(LONG);
    cached.state.become_active(Some(("a".into(), 1)));
    assert!(!kept(&cached, Said { depends_on_time: true, ..said("a", 1) }));
    assert!(!kept(&cached, Said { missing_context_keys: vec!["a:b".to_owned()], ..said("a", 1) }));
    let brief = state(Duration::ZERO);
    brief.state.become_active(Some(("a".into(), 1)));
    assert!(!kept(&brief, said("a", 1)), "its time is over");
}
