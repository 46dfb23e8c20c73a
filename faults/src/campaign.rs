//! Runs the faults: several at a time, each on a thread and a runtime of its own, each bounded in time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::fault::{Fault, Finding, Verdict, Way};
use crate::lab::Lab;

/// All verdicts in the order of the faults, and the time that they took together.
pub(crate) fn run<'a>(lab: &Lab, faults: &'a [Fault], jobs: usize) -> (Vec<Finding<'a>>, Duration) {
    let begun = Instant::now();
    let (alone, together): (Vec<_>, Vec<_>) = faults.iter().partition(|fault| fault.alone);
    // The long ones first, so that the end is not one long one.
    let (quick, slow): (Vec<_>, Vec<_>) = together.into_iter().partition(|fault| fault.quick);
    let waiting = Mutex::new(slow.into_iter().chain(quick).collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(fault) = next else { return };
                    let finding = examine(lab, fault);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
                }
            });
        }
    });
    let mut findings = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    findings.extend(alone.into_iter().map(|fault| examine(lab, fault)));
    findings.sort_by_key(|finding| finding.fault.id);
    (findings, begun.elapsed())
}

fn examine<'a>(lab: &Lab, fault: &'a Fault) -> Finding<'a> {
    let begun = Instant::now();
    let verdict = match &fault.way {
        Way::NotHere(why) => Verdict::NotHere((*why).to_owned()),
        Way::Live(run) => match fault.needs.iter().find_map(|need| lab.lacks(*need)) {
            Some(lack) => Verdict::Skip(lack),
            None => {
                // More kills take more time.
                let limit = fault.limit + Duration::from_millis(500) * lab.kills();
                bounded(limit, || run(lab.clone()))
            }
        },
    };
    Finding { fault, verdict, took: begun.elapsed() }
}

fn bounded<F>(limit: Duration, run: impl FnOnce() -> F) -> Verdict
where
    F: Future<Output = anyhow::Result<String>>,
{
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Verdict::Fail(format!("no runtime: {error}")),
    };
    match runtime.block_on(async { tokio::time::timeout(limit, run()).await }) {
        Ok(Ok(observed)) => Verdict::Pass(observed),
        Ok(Err(error)) => Verdict::Fail(format!("{error:#}")),
        Err(_) => Verdict::Fail(format!("not done within {} s", limit.as_secs())),
    }
}
