//! The queue in many orders of its threads: the same source, over primitives that decide who goes on.
//!
//! What it shows: no wake-up is missing, no record and no loss goes uncounted, everybody who waits learns what became of
//! his record. What it does not: orders of memory, which one lock around everything leaves nothing of.

mod sync;

#[expect(dead_code, reason = "the model needs some of the queue, and has all of it")]
#[allow(clippy::duplicate_mod, reason = "the very source, over other primitives")]
#[path = "../queue.rs"]
mod queue;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use shuttle::thread::{self, JoinHandle};

use self::queue::{Batch, Bounds, Commit, NoRoom, Queue, next_entry};
use crate::audit::capture::{Kind, Reader};
use crate::audit::loss::{Gap, Loss};
use crate::audit::{capture, loss, service};

/// Longer than any test; in the model it may still be over at any moment.
const LONG: Duration = Duration::from_secs(3_600);

/// Tries orders by chance, and orders that are changed in few places, which finds what needs one unlucky moment.
fn in_many_orders(model: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(model.clone(), 500);
    shuttle::check_pct(model, 500, 3);
}

fn queue_of(records_max: usize, commits: bool) -> Arc<Queue> {
    Arc::new(Queue::new(Bounds { records_max, bytes_max: 1 << 16 }, commits))
}

/// What a writer got.
#[derive(Default)]
struct Got {
    records: u64,
    /// Told of by gap records.
    lost: u64,
    last: u64,
}

impl Got {
    fn take(&mut self, batch: &Batch) {
        let mut entries = batch.entries.as_slice();
        while let Some((sequence, body)) = next_entry(&mut entries) {
            let mut reader = Reader::new(body);
            if reader.kind() == Some(Kind::Gap) {
                reader.instant().unwrap();
                let gap = Gap::read(&mut reader).unwrap();
                assert_eq!(gap.first, self.last + 1, "a gap begins where the records end");
                (self.lost, self.last) = (self.lost + gap.lost(), gap.last);
            } else {
                self.records += 1;
            }
            assert_eq!(sequence, self.last + 1, "a number is missing or doubled");
            self.last = sequence;
        }
    }
}

/// Takes until the end, as the real writer does, and gives everything back.
fn writer(queue: &Arc<Queue>, idle: Option<Duration>, fate: Commit) -> JoinHandle<Got> {
    let queue = Arc::clone(queue);
    thread::spawn(move || {
        let mut got = Got::default();
        loop {
            let Some(batch) = queue.take(Vec::new(), LONG, idle) else { continue };
            got.take(&batch);
            if let Some(commit) = &batch.commit {
                commit.send_replace(fate);
            }
            queue.release(usize::MAX, usize::MAX);
            if batch.last && queue.is_empty() {
                return got;
            }
        }
    })
}

#[test]
fn every_record_comes_out_or_is_told_of_as_lost() {
    in_many_orders(|| {
        let queue = queue_of(2, false);
        let writer = writer(&queue, None, Commit::Durable);
        let pushers: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    for _ in 0..2 {
                        match queue.push(b"record") {
                            Ok(_) => {}
                            Err(NoRoom::Full) => queue.lose(Loss::QueueFull),
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                })
            })
            .collect();
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        queue.close();
        let got = writer.join().unwrap();
        assert_eq!(got.records + got.lost, 4);
        let counted = queue.counted();
        assert_eq!((counted.recorded, counted.depth), (got.records, 0));
    });
}

#[test]
fn a_writer_that_looks_up_now_and_then_misses_nothing() {
    in_many_orders(|| {
        let queue = queue_of(8, false);
        let writer = writer(&queue, Some(LONG), Commit::Durable);
        queue.push(b"record").unwrap();
        queue.lose(Loss::QueueFull);
        queue.reopen();
        queue.push(b"record").unwrap();
        queue.close();
        let got = writer.join().unwrap();
        assert_eq!((got.records, got.lost), (2, 1));
    });
}

#[test]
fn everybody_learns_what_became_of_his_record() {
    for fate in [Commit::Durable, Commit::Failed] {
        in_many_orders(move || {
            let queue = queue_of(8, true);
            let writer = writer(&queue, None, fate);
            let pushers: Vec<_> = (0..2)
                .map(|_| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || queue.push(b"record").unwrap().unwrap())
                })
                .collect();
            let mut waits: Vec<_> = pushers.into_iter().map(|pusher| pusher.join().unwrap()).collect();
            waits.push(queue.push(b"record").unwrap().unwrap());
            queue.close();
            writer.join().unwrap();
            assert!(waits.iter().all(|wait| *wait.borrow() == fate));
        });
    }
}

#[test]
fn who_waits_for_room_is_told_of_it() {
    in_many_orders(|| {
        let queue = queue_of(1, false);
        let writer = writer(&queue, None, Commit::Durable);
        let pushers: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    shuttle::future::block_on(async {
                        loop {
                            let mut space = pin!(queue.space());
                            // As in `wait.rs`: registered before the look.
                            space.as_mut().enable();
                            match queue.push(b"record") {
                                Ok(_) => return,
                                Err(NoRoom::Full) => space.await,
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                    });
                })
            })
            .collect();
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        queue.close();
        assert_eq!(writer.join().unwrap().records, 3);
    });
}

#[test]
fn a_writer_that_rests_is_woken_by_what_it_must_not_miss() {
    for (tell, reopens) in [(Queue::close as fn(&Queue), 0), (Queue::reopen, 1), (Queue::abandon, 0)] {
        in_many_orders(move || {
            let queue = queue_of(8, false);
            let resting = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || u32::from(queue.sleep(LONG)))
            };
            // Records wake nobody out of this rest, and are there after it.
            queue.push(b"record").unwrap();
            tell(&queue);
            let told = resting.join().unwrap();
            let batch = queue.take(Vec::new(), Duration::ZERO, None).unwrap();
            assert_eq!(told + u32::from(batch.reopen), reopens, "told to open the file anew");
        });
    }
}

#[test]
fn a_writer_that_nobody_waits_for_any_longer_is_woken_by_the_next_record() {
    in_many_orders(|| {
        let queue = queue_of(8, false);
        let idle = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.take(Vec::new(), Duration::ZERO, None).unwrap())
        };
        queue.abandon();
        queue.push(b"record").unwrap();
        let mut got = Got::default();
        got.take(&idle.join().unwrap());
        assert_eq!(got.records, 1);
    });
}
