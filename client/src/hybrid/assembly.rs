//! The events of a watch -> whole policy sets. Pure.
//!
//! Invariant: a policy set leaves here when its end has come and it has as many bytes as its start said; whether they are
//! the right ones is for their digest to say.

use portcullis_engine::LoadMode;
use portcullis_proto::v1;
use portcullis_proto::v1::watch_policy_set_response::Event;
use portcullis_store::{Delivery, Revision};

/// What an event amounts to.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing yet.
    More,
    /// What was sent last is still active.
    Beat,
    /// What is held is active, under this generation.
    Held(u64),
    /// A whole policy set.
    Whole(Delivery),
}

/// Why the events make no sense, for people.
pub(super) type Nonsense = &'static str;

/// A policy set on its way.
#[derive(Debug)]
pub(super) struct Assembly {
    bytes_max: u64,
    held: Option<Revision>,
    /// Whether any policy set has been named yet.
    named: bool,
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    revision: Revision,
    generation: u64,
    load_mode: LoadMode,
    bytes: u64,
    come: u64,
    files: Vec<(String, Vec<u8>)>,
}

impl Assembly {
    /// For whoever holds the policy set `held`, when it holds one.
    pub(super) fn new(bytes_max: u64, held: Option<Revision>) -> Self {
        Self { bytes_max, held, named: false, begun: None }
    }

    /// One event more. After an error nothing can be made of what follows.
    pub(super) fn take(&mut self, message: v1::WatchPolicySetResponse) -> Result<Step, Nonsense> {
        let v1::WatchPolicySetResponse { event } = message;
        match event {
            Some(Event::Start(start)) => self.begin(start),
            Some(Event::Part(part)) => self.add(part),
            Some(Event::End(v1::PolicySetEnd {})) => self.end(),
            Some(Event::Beat(v1::PolicySetBeat {})) => self.beat(),
            // Of a later version.
            None => Ok(Step::More),
        }
    }

    fn begin(&mut self, start: v1::PolicySetStart) -> Result<Step, Nonsense> {
        let v1::PolicySetStart { revision, generation, loaded_at: _, strict, bytes } = start;
        if self.begun.is_some() {
            return Err("a policy set was left unfinished");
        }
        if bytes > self.bytes_max {
            return Err("the policy set is larger than what is taken here");
        }
        let revision = revision.parse().map_err(|_| "the policy set has no revision")?;
        let load_mode = if strict { LoadMode::Strict } else { LoadMode::Lenient };
        self.begun = Some(Begun { revision, generation, load_mode, bytes, come: 0, files: Vec::new() });
        Ok(Step::More)
    }

    fn add(&mut self, part: v1::PolicySetPart) -> Result<Step, Nonsense> {
        let v1::PolicySetPart { name, data } = part;
        let begun = self.begun.as_mut().ok_or("a part came without a policy set")?;
        begun.come = begun.come.saturating_add(data.len() as u64);
        if begun.come > begun.bytes {
            return Err("the policy set is larger than announced");
        }
        match begun.files.last_mut() {
            Some((last, bytes)) if *last == name => bytes.extend_from_slice(&data),
            _ => begun.files.push((name, data)),
        }
        Ok(Step::More)
    }

    /// Says nothing about what is held before it has been named.
    fn beat(&self) -> Result<Step, Nonsense> {
        match (&self.begun, self.named) {
            (None, true) => Ok(Step::Beat),
            (None, false) => Err("a beat came before a policy set"),
            (Some(_), _) => Err("a policy set was left unfinished"),
        }
    }

    fn end(&mut self) -> Result<Step, Nonsense> {
        let begun = self.begun.take().ok_or("an end came without a policy set")?;
        let Begun { revision, generation, load_mode, bytes, come, files } = begun;
        self.named = true;
        if files.is_empty() && self.held == Some(revision) {
            return Ok(Step::Held(generation));
        }
        if come != bytes {
            return Err("the policy set is smaller than announced");
        }
        self.held = Some(revision);
        Ok(Step::Whole(Delivery { files, load_mode, revision: Some(revision), generation }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn message(event: Event) -> v1::WatchPolicySetResponse {
        v1::WatchPolicySetResponse { event: Some(event) }
    }

    fn start(bytes: u64) -> Event {
        let revision = DIGITS.to_owned();
        Event::Start(v1::PolicySetStart { revision, generation: 3, loaded_at: None, strict: true, bytes })
    }

    fn part(name: &str, data: &str) -> Event {
        Event::Part(v1::PolicySetPart { name: name.to_owned(), data: data.as_bytes().to_vec() })
    }

    const END: Event = Event::End(v1::PolicySetEnd {});
    const BEAT: Event = Event::Beat(v1::PolicySetBeat {});

    /// What the last of the events amounts to; the first that makes no sense ends it.
    fn assemble(held: Option<Revision>, events: impl IntoIterator<Item = Event>) -> Result<Step, Nonsense> {
        let mut assembly = Assembly::new(100, held);
        events.into_iter().try_fold(Step::More, |_, event| assembly.take(message(event)))
    }

    #[test]
    fn parts_of_one_file_are_one_file() {
        let events = [start(6), part("a", "12"), part("a", "34"), part("b", ""), part("c", "56"), END];
        let Ok(Step::Whole(delivery)) = assemble(None, events) else { unreachable!() };
        let file = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        assert_eq!(delivery.files, [file("a", "1234"), file("b", ""), file("c", "56")]);
        assert_eq!((delivery.generation, delivery.load_mode), (3, LoadMode::Strict));
        assert_eq!(delivery.revision.unwrap().to_string(), DIGITS);
    }

    #[test]
    fn what_is_held_is_not_sent_again() {
        let held = DIGITS.parse().ok();
        assert!(matches!(assemble(held, [start(6), END]), Ok(Step::Held(3))));
        assert!(matches!(assemble(held, [start(6), END, BEAT]), Ok(Step::Beat)));
        assert!(assemble(None, [start(6), END]).is_err(), "nobody holds it");
        assert!(matches!(assemble(None, [start(0), END]), Ok(Step::Whole(_))), "there is nothing in it");
    }

    #[test]
    fn what_is_not_whole_is_not_a_policy_set() {
        for nonsense in [
            vec![END],
            vec![BEAT],
            vec![part("a", "1")],
            vec![start(101)],
            vec![start(2), start(2)],
            vec![start(2), BEAT],
            vec![start(2), part("a", "123")],
            vec![start(2), part("a", "1"), END],
            vec![start(2), part("a", "12"), END, END],
        ] {
            let shown = format!("{nonsense:?}");
            assert!(assemble(None, nonsense).is_err(), "{shown}");
        }
        let none = v1::WatchPolicySetResponse { event: None };
        assert!(matches!(Assembly::new(1, None).take(none), Ok(Step::More)), "of a later version");
        let nameless = v1::PolicySetStart { revision: "x".to_owned(), ..v1::PolicySetStart::default() };
        assert!(assemble(None, [Event::Start(nameless)]).is_err());
    }
}
