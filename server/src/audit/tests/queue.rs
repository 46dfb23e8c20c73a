//! Bounds, numbers and gaps, without a writer.

use std::time::Duration;

use crate::audit::capture::{Kind, Reader};
use crate::audit::loss::{Gap, LOSSES, Loss};
use crate::audit::queue::{Bounds, Commit, HAPPENINGS_MAX, NoRoom, Queue, next_entry};

fn queue(records_max: usize) -> Queue {
    Queue::new(Bounds { records_max, bytes_max: 1 << 20 }, false)
}

fn take(queue: &Queue) -> Vec<(u64, Vec<u8>)> {
    let batch = queue.take(Vec::new(), Duration::ZERO, Some(Duration::ZERO)).unwrap();
    let mut entries = batch.entries.as_slice();
    let mut found = Vec::new();
    while let Some((sequence, body)) = next_entry(&mut entries) {
        found.push((sequence, body.to_vec()));
    }
    assert!(entries.is_empty());
    found
}

fn gap_of(body: &[u8]) -> Gap {
    let mut reader = Reader::new(body);
    assert_eq!(reader.kind(), Some(Kind::Gap));
    reader.instant().unwrap();
    Gap::read(&mut reader).unwrap()
}

#[test]
fn what_goes_in_comes_out_in_order() {
    let queue = queue(10);
    for body in [b"a".as_slice(), b"", b"ccc"] {
        queue.push(body).unwrap();
    }
    assert_eq!(take(&queue), [(1, b"a".to_vec()), (2, b"".to_vec()), (3, b"ccc".to_vec())]);
    assert!(queue.take(Vec::new(), Duration::ZERO, Some(Duration::ZERO)).is_none());
}

#[test]
fn both_bounds_count_what_is_under_way() {
    let queue = queue(2);
    queue.push(b"a").unwrap();
    queue.push(b"b").unwrap();
    assert_eq!(queue.push(b"c").unwrap_err(), NoRoom::Full);
    take(&queue);
    assert_eq!(queue.push(b"c").unwrap_err(), NoRoom::Full);
    queue.release(1, 1);
    queue.push(b"c").unwrap();
    assert_eq!(queue.push(b"d").unwrap_err(), NoRoom::Full);

    let bytes = Queue::new(Bounds { records_max: 10, bytes_max: 40 }, false);
    bytes.push(&[0; 20]).unwrap();
    assert_eq!(bytes.push(&[0; 20]).unwrap_err(), NoRoom::Full);
    take(&bytes);
    assert_eq!(bytes.push(&[0; 20]).unwrap_err(), NoRoom::Full);
    bytes.release(1, usize::MAX);
    bytes.push(&[0; 20]).unwrap();
}

#[test]
fn a_loss_takes_a_number_and_is_told_of_before_the_next_record() {
    let queue = queue(10);
    queue.push(b"a").unwrap();
    queue.lose(Loss::QueueFull);
    queue.lose(Loss::QueueFull);
    queue.push(b"b").unwrap();
    let entries = take(&queue);
    assert_eq!(entries.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1, 4, 5]);
    assert_eq!(gap_of(&entries[1].1), Gap::of(Loss::QueueFull, 2, 3, 2));
    assert_eq!(queue.counted().lost[Loss::QueueFull.index()], 2);
}

#[test]
fn a_loss_with_nothing_after_it_is_told_of_too() {
    let queue = queue(10);
    queue.lose(Loss::QueueFull);
    let entries = take(&queue);
    assert_eq!((entries[0].0, gap_of(&entries[0].1).lost()), (2, 1));
}

#[test]
fn a_broken_writer_loses_what_it_had() {
    let queue = queue(10);
    (0..5).for_each(|_| drop(queue.push(b"a").unwrap()));
    take(&queue);
    queue.release(2, 2);
    queue.push(b"b").unwrap();
    queue.lose_taken(Loss::WriterBroken, Some(Gap { first: 0, last: 0, counts: [0; LOSSES.len()] }));
    let entries = take(&queue);
    assert_eq!(entries[0].0, 6);
    let gap = gap_of(&entries[1].1);
    assert_eq!((gap.first, gap.last, gap.lost()), (0, 5, 3));
}

#[test]
fn happenings_go_beyond_the_bound_but_not_without_end() {
    let queue = queue(1);
    queue.push(b"a").unwrap();
    (0..1_000).for_each(|_| queue.push_happening(b"h"));
    let counted = queue.counted();
    assert_eq!(counted.depth, 1 + HAPPENINGS_MAX as u64);
    assert_eq!(counted.lost[Loss::QueueFull.index()], 1_000 - HAPPENINGS_MAX as u64);
}

#[test]
fn nothing_enters_a_closed_queue() {
    let queue = queue(1);
    queue.close();
    assert_eq!(queue.push(b"a").unwrap_err(), NoRoom::Closed);
    let batch = queue.take(Vec::new(), Duration::ZERO, None).unwrap();
    assert!(batch.last && batch.entries.is_empty());
}

#[test]
fn a_stuck_writer_is_no_reason_to_wait() {
    let queue = queue(1);
    queue.push(b"a").unwrap();
    queue.set_stuck(true);
    assert_eq!(queue.push(b"b").unwrap_err(), NoRoom::Stuck);
    queue.set_stuck(false);
    assert_eq!(queue.push(b"b").unwrap_err(), NoRoom::Full);
}

#[test]
fn a_waiting_writer_is_woken_by_the_first_record() {
    let queue = std::sync::Arc::new(queue(10));
    let writer = {
        let queue = std::sync::Arc::clone(&queue);
        std::thread::spawn(move || queue.take(Vec::new(), Duration::from_millis(1), None).unwrap().entries)
    };
    queue.push(b"a").unwrap();
    assert_eq!(next_entry(&mut writer.join().unwrap().as_slice()), Some((1, b"a".as_slice())));
}

#[test]
fn a_lingering_writer_is_woken_when_much_has_come() {
    let queue = std::sync::Arc::new(queue(10));
    queue.push(b"a").unwrap();
    let writer = {
        let queue = std::sync::Arc::clone(&queue);
        // Long enough that the test would never end by itself.
        std::thread::spawn(move || queue.take(Vec::new(), Duration::from_secs(3_600), None).unwrap())
    };
    (0..8).for_each(|_| drop(queue.push(b"b").unwrap()));
    assert!(!writer.join().unwrap().last);
}

#[test]
fn everybody_in_a_batch_learns_the_same() {
    let queue = Queue::new(Bounds { records_max: 10, bytes_max: 1 << 20 }, true);
    let first = queue.push(b"a").unwrap().unwrap();
    let second = queue.push(b"b").unwrap().unwrap();
    let batch = queue.take(Vec::new(), Duration::ZERO, None).unwrap();
    let third = queue.push(b"c").unwrap().unwrap();
    batch.commit.unwrap().send_replace(Commit::Durable);
    assert_eq!(*first.borrow(), Commit::Durable);
    assert_eq!(*second.borrow(), Commit::Durable);
    assert_eq!(*third.borrow(), Commit::Pending);
}
