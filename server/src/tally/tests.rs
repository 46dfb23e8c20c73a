//! Every addition is counted once and under its own name.

use std::time::Duration;

use super::*;

#[test]
fn decisions_of_many_threads_are_counted_exactly_and_apart() {
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for reason in REASONS {
                    for layer in LAYERS {
                        tally.decision(reason, layer);
                    }
                }
                tally.decision(Reason::ExplicitDeny, Layer::Scp);
            });
        }
    });
    for reason in REASONS {
        for layer in LAYERS {
            let twice = reason == Reason::ExplicitDeny && layer == Layer::Scp;
            assert_eq!(tally.decisions(reason, layer), if twice { 40 } else { 20 });
        }
    }
    let counts = tally.counts();
    assert_eq!((counts.allowed, counts.denied), (160, 500));
}

#[test]
fn a_request_is_in_flight_until_it_ends() {
    let tally = Tally::default();
    let authorize = Method::of_path("/portcullis.v1.AuthorizationService/Authorize");
    tally.begun();
    tally.begun();
    assert_eq!(tally.in_flight(), 2);
    tally.ended(authorize, Code::Ok);
    tally.ended(Method::of_path("/nonsense"), Code::Unimplemented);
    assert_eq!(tally.in_flight(), 0);
    assert_eq!((tally.calls(0, 0), tally.calls(METHODS.len() - 1, Code::Unimplemented as usize)), (1, 1));
    assert_eq!(
        (0..METHODS.len()).map(|m| (0..CODES.len()).map(|c| tally.calls(m, c)).sum::<u64>()).sum::<u64>(),
        2
    );
}

#[test]
fn methods_are_told_by_their_paths() {
    for (number, name) in METHODS.into_iter().enumerate().take(9) {
        let service = if number < 5 { "AuthorizationService" } else { "PolicySetService" };
        assert_eq!(Method::of_path(&format!("/portcullis.v1.{service}/{name}")), Method(number));
    }
    assert_eq!(Method::of_path("/grpc.health.v1.Health/Check"), Method(9));
    for path in ["", "/", "/portcullis.v1.AuthorizationService", "/other.v1.AuthorizationService/Authorize"] {
        assert_eq!(Method::of_path(path), Method(10), "{path}");
    }
}

#[test]
fn refusals_have_their_reason_and_a_shed_request_is_not_a_refused_question() {
    let tally = Tally::default();
    tally.refusal("NO_POLICY_SET");
    tally.refusal("something new");
    tally.shed();
    let found: Vec<_> = tally.refusals().filter(|(_, count)| *count > 0).collect();
    assert_eq!(found, [("NO_POLICY_SET", 1), ("OVERLOADED", 1), ("OTHER", 1)]);
    assert_eq!((tally.counts().refused, tally.counts().shed), (2, 1));
}

#[test]
fn one_decision_in_sixty_four_is_timed() {
    let tally = Tally::default();
    // On a thread of its own: the turn is the thread's.
    std::thread::scope(|scope| {
        let decide = || (0..130).map(|number| tally.timed(|| number)).sum::<u32>();
        assert_eq!(scope.spawn(decide).join().unwrap(), 130 * 129 / 2);
    });
    let (_, count, _) = tally.engine.read();
    assert_eq!(count, 3);
}

#[test]
fn a_duration_is_in_the_first_bucket_that_holds_it() {
    let histogram = Histogram::default();
    for nanoseconds in [0, 250, 251, 100_000_000, 100_000_001] {
        histogram.observe(Duration::from_nanos(nanoseconds));
    }
    let (sum, count, buckets) = histogram.read();
    assert_eq!(count, 5);
    assert!((sum - 0.200_000_502).abs() < 1e-12, "{sum}");
    let filled: Vec<_> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(filled, [(250e-9, 2), (500e-9, 1), (0.1, 1), (f64::INFINITY, 1)]);
}
