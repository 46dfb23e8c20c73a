//! The trail as its callers see it, over a disk that can be told to fail.

pub(super) mod disk;
mod model;
mod queue;
pub(super) mod sample;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::verify::{FindingKind, Verifier};
use super::*;
use disk::Disk;
use sample::{Sample, options};

const SOON: Duration = Duration::from_secs(30);

fn open(disk: &Disk, adjust: impl FnOnce(&mut AuditOptions)) -> Audit {
    let mut options = options();
    adjust(&mut options);
    Audit::open_with(options, disk.opener()).unwrap()
}

fn record(audit: &Audit, number: usize) -> Recorded {
    Sample { request_id: format!("r{number}"), ..Sample::default() }.record(audit)
}

fn record_done(audit: &Audit, number: usize) {
    assert!(matches!(record(audit, number), Recorded::Done));
}

async fn settled(recorded: Recorded) -> bool {
    match recorded {
        Recorded::Done => true,
        Recorded::Refused => false,
        Recorded::Wait(wait) => wait.settled().await,
    }
}

/// The records of decisions, by their request ids.
fn ids(lines: &[Json]) -> Vec<String> {
    let decisions = lines.iter().filter(|line| line["eventType"] == "AwsApiCall");
    decisions.map(|line| line["requestID"].as_str().unwrap().to_owned()).collect()
}

fn verified(text: &[u8]) -> verify::Report {
    let mut verifier = Verifier::new();
    for (at, line) in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        verifier.line("test", at as u64 + 1, line);
    }
    verifier.finish()
}

#[test]
fn a_trail_that_is_off_costs_nothing_and_lets_everything_go() {
    let audit = Audit::off();
    record_done(&audit, 1);
    audit.happening(&ServiceEvent::new(Happening::Start));
    assert_eq!(audit.counts(), AuditCounts { healthy: true, ..AuditCounts::default() });
    let without_file = AuditOptions { file: None, ..options() };
    assert!(!Audit::open(without_file).unwrap().is_on());
    assert!(!Audit::open(AuditOptions { mode: AuditMode::Off, ..options() }).unwrap().is_on());
}

#[tokio::test]
async fn records_stand_in_the_order_of_their_numbers() {
    let disk = Disk::default();
    let audit = open(&disk, |_| {});
    audit.happening(&ServiceEvent::new(Happening::Start).with("version", "1"));
    (0..100).for_each(|number| record_done(&audit, number));
    audit.happening(&ServiceEvent::new(Happening::Stop));
    assert!(audit.close(SOON).await);
    let lines = disk.lines();
    assert_eq!(lines.len(), 102);
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(line["additionalEventData"]["sequence"], at as u64 + 1);
    }
    assert_eq!(ids(&lines), (0..100).map(|number| format!("r{number}")).collect::<Vec<_>>());
    assert!(disk.synced_all(), "the end puts everything on the disk");
    let report = verified(&disk.bytes());
    assert!(report.is_sound() && report.processes[0].ended, "{report:?}");
    let counts = audit.counts();
    assert_eq!((counts.recorded, counts.written, counts.queue_records), (102, 102, 0));
    assert_eq!(counts.bytes_written, disk.bytes().len() as u64);
}

#[tokio::test]
async fn after_the_end_nothing_is_taken_and_everything_is_counted() {
    let disk = Disk::default();
    let audit = open(&disk, |options| options.on_failure = AuditFailure::Deny);
    assert!(audit.close(SOON).await);
    assert!(matches!(record(&audit, 1), Recorded::Refused));
    assert_eq!(audit.counts().lost[Loss::Stopped.index()], 1);
}

#[tokio::test]
async fn allows_are_sampled_and_denies_never() {
    let disk = Disk::default();
    let audit = open(&disk, |options| options.allow_one_in = 10);
    let none = open(&disk, |options| options.allow_one_in = 0);
    for number in 0..1_000 {
        record_done(&audit, number);
        let mut deny = Sample::deny();
        deny.request_id = format!("d{number}");
        assert!(matches!(deny.record(&audit), Recorded::Done));
        record_done(&none, number);
    }
    assert!(audit.close(SOON).await && none.close(SOON).await);
    let lines = disk.lines();
    let ids = ids(&lines);
    assert_eq!(ids.iter().filter(|id| id.starts_with('d')).count(), 1_000);
    let allows = ids.len() - 1_000;
    assert!((50..=200).contains(&allows), "{allows}");
    assert_eq!(audit.counts().left_out, 1_000 - allows as u64);
    assert!(lines.iter().any(|line| line["additionalEventData"]["allowOneIn"] == 10));
    assert!(verified(&disk.bytes()).is_sound(), "what is left out takes no number");
}

#[tokio::test]
async fn allows_of_skipped_actions_are_left_out_and_their_denies_are_not() {
    let disk = Disk::default();
    let audit = open(&disk, |options| options.skip_actions = "s3:*, orders:get*".to_owned());
    record_done(&audit, 1);
    let other =
        Sample { action: "orders:PutOrder".to_owned(), request_id: "put".to_owned(), ..Sample::default() };
    let denied =
        Sample { action: "orders:GetOrder".to_owned(), request_id: "no".to_owned(), ..Sample::deny() };
    assert!(matches!((other.record(&audit), denied.record(&audit)), (Recorded::Done, Recorded::Done)));
    assert!(audit.close(SOON).await);
    assert_eq!(ids(&disk.lines()), ["put", "no"]);
    assert_eq!(audit.counts().left_out, 1);
}

#[tokio::test]
async fn drop_mode_loses_exactly_what_finds_no_room_and_says_so() {
    let disk = Disk::default();
    let audit = open(&disk, |options| {
        options.mode = AuditMode::Drop;
        options.queue_records_max = 10;
        options.on_failure = AuditFailure::Deny;
    });
    disk.hold();
    (0..1_000).for_each(|number| record_done(&audit, number));
    let lost = audit.counts().lost[Loss::QueueFull.index()];
    assert!((980..=990).contains(&lost), "{lost}");
    disk.go_on();
    // The queue has room again only when the writer is through.
    while audit.counts().queue_records > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    record_done(&audit, 1_000);
    assert!(audit.close(SOON).await);
    let lines = disk.lines();
    let told: u64 = lines.iter().filter_map(|line| line["serviceEventDetails"]["lost"].as_u64()).sum();
    assert_eq!(told, lost);
    assert_eq!(ids(&lines).len() as u64, 1_001 - lost);
    let report = verified(&disk.bytes());
    assert_eq!((report.declared_lost, report.missing), (lost, 0), "{report:?}");
    assert!(report.findings.iter().all(|finding| finding.kind == FindingKind::DeclaredLoss));
}

#[tokio::test]
async fn block_mode_waits_for_room() {
    let disk = Disk::default();
    let audit = open(&disk, |options| {
        options.queue_records_max = 10;
        options.wait_ms = 60_000;
    });
    disk.hold();
    let mut waits = Vec::new();
    let mut done = 0;
    for number in 0..50 {
        match record(&audit, number) {
            Recorded::Done => done += 1,
            Recorded::Wait(wait) => waits.push(tokio::spawn(wait.settled())),
            Recorded::Refused => panic!("refused"),
        }
    }
    assert_eq!((done, waits.len()), (10, 40));
    disk.go_on();
    for wait in waits {
        assert!(tokio::time::timeout(SOON, wait).await.unwrap().unwrap());
    }
    assert!(audit.close(SOON).await);
    assert_eq!(ids(&disk.lines()).len(), 50);
    assert!(verified(&disk.bytes()).is_sound());
}

#[tokio::test]
async fn block_mode_gives_up_after_its_wait_as_configured() {
    for (on_failure, goes_out) in [(AuditFailure::Allow, true), (AuditFailure::Deny, false)] {
        let disk = Disk::default();
        let audit = open(&disk, |options| {
            options.queue_records_max = 5;
            options.wait_ms = 5;
            options.on_failure = on_failure;
        });
        disk.hold();
        (0..5).for_each(|number| record_done(&audit, number));
        assert_eq!(settled(record(&audit, 5)).await, goes_out);
        assert_eq!(audit.counts().lost[Loss::QueueFull.index()], 1);
        disk.go_on();
        assert!(audit.close(SOON).await);
        assert_eq!(verified(&disk.bytes()).declared_lost, 1);
    }
}

#[tokio::test]
async fn waits_one_after_the_other_take_no_longer_than_one() {
    for (mode, room) in [(AuditMode::Block, 1), (AuditMode::Sync, 100)] {
        let disk = Disk::default();
        let audit = open(&disk, |options| {
            options.mode = mode;
            options.queue_records_max = room;
            options.wait_ms = 500;
            options.sync_ms = 500;
        });
        disk.hold();
        let begun = std::time::Instant::now();
        let recorded: Vec<_> = (0..60).map(|number| record(&audit, number)).collect();
        for recorded in recorded {
            assert!(settled(recorded).await, "it goes out, as configured");
        }
        // One after the other they would take thirty seconds.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        disk.go_on();
    }
}

#[tokio::test]
async fn a_wait_that_is_dropped_is_a_loss() {
    let disk = Disk::default();
    let audit = open(&disk, |options| options.queue_records_max = 1);
    disk.hold();
    record_done(&audit, 0);
    drop(record(&audit, 1));
    disk.go_on();
    assert!(audit.close(SOON).await);
    assert_eq!(audit.counts().lost[Loss::QueueFull.index()], 1);
    assert_eq!(verified(&disk.bytes()).declared_lost, 1);
}

#[tokio::test]
async fn sync_mode_answers_when_its_record_is_on_the_disk() {
    let disk = Disk::default();
    let audit = open(&disk, |options| options.mode = AuditMode::Sync);
    for number in 0..20 {
        assert!(settled(record(&audit, number)).await);
        let id = format!("\"r{number}\"");
        assert!(disk.synced_text().contains(&id), "record {number} is on the disk");
    }
    let waits: Vec<_> = (20..500).map(|number| tokio::spawn(settled(record(&audit, number)))).collect();
    for wait in waits {
        assert!(wait.await.unwrap());
    }
    assert_eq!(ids(&disk.synced_lines()).len(), 500);
    assert!(disk.syncs() < 300, "one sync is for many records: {}", disk.syncs());
    assert!(audit.close(SOON).await);
}

#[tokio::test]
async fn a_failed_sync_is_a_loss_and_is_not_tried_again() {
    for (on_failure, goes_out) in [(AuditFailure::Allow, true), (AuditFailure::Deny, false)] {
        let disk = Disk::default();
        let audit = open(&disk, |options| {
            options.mode = AuditMode::Sync;
            options.on_failure = on_failure;
        });
        assert!(settled(record(&audit, 0)).await);
        disk.fail_next_syncs(1);
        assert_eq!(settled(record(&audit, 1)).await, goes_out);
        healthy(&audit).await;
        assert!(settled(record(&audit, 2)).await, "the next file works");
        assert!(audit.close(SOON).await);
        let counts = audit.counts();
        assert_eq!((counts.unconfirmed, counts.lost[Loss::NotSynced.index()]), (1, 1));
        let gap = disk.lines().into_iter().find(|line| line["eventName"] == "AuditGap").unwrap();
        assert_eq!(gap["serviceEventDetails"]["firstSequence"], 2);
        assert_eq!(gap["serviceEventDetails"]["reasons"]["not_synced"], 1);
    }
}

async fn healthy(audit: &Audit) {
    let waiting = async {
        while !audit.counts().healthy {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("the disk works again");
}

#[tokio::test]
async fn a_disk_that_does_not_sync_for_a_while_costs_no_file_for_each_try() {
    for chain in [false, true] {
        let disk = Disk::default();
        let audit = open(&disk, |options| {
            options.mode = AuditMode::Sync;
            options.on_failure = AuditFailure::Deny;
            options.chain = chain;
        });
        disk.fail_next_syncs(3);
        assert!(!settled(record(&audit, 0)).await, "it is not on the disk");
        disk.until(|state| state.syncs() > 0).await;
        healthy(&audit).await;
        assert!(settled(record(&audit, 1)).await);
        assert!(audit.close(SOON).await);
        let lines = disk.synced_lines();
        let names: Vec<_> = lines.iter().map(|line| line["eventName"].as_str().unwrap()).collect();
        assert_eq!(names.first(), Some(&"AuditGap"), "{names:?}");
        assert_eq!(ids(&lines), ["r1"]);
        // The record, and two that told of it and did not get to the disk either.
        assert_eq!(audit.counts().lost[Loss::NotSynced.index()], 3);
        let mut verifier = Verifier::new();
        for (number, line) in disk.synced_text().lines().enumerate() {
            verifier.line("disk", number as u64 + 1, line.as_bytes());
        }
        let report = verifier.finish();
        assert!(report.findings.iter().all(|found| found.kind == FindingKind::DeclaredLoss), "{report:?}");
    }
}

#[tokio::test]
async fn a_full_disk_tears_nothing_and_loses_nothing_within_the_queue() {
    let disk = Disk::default();
    let audit = open(&disk, |options| options.queue_records_max = 1_000);
    disk.set_room(Some(5_000));
    (0..200).for_each(|number| record_done(&audit, number));
    disk.until(|disk| disk.failures > 2).await;
    assert!(!audit.counts().healthy);
    assert!(disk.bytes().ends_with(b"\n"), "what was torn is cut");
    disk.set_room(None);
    disk.until(|disk| disk.lines() == 200).await;
    assert!(audit.counts().healthy);
    assert!(audit.close(SOON).await);
    assert_eq!(ids(&disk.lines()).len(), 200);
    assert!(verified(&disk.bytes()).is_sound());
}

#[tokio::test]
async fn a_file_that_is_deleted_because_the_disk_is_full_is_let_go_of() {
    let disk = Disk::default();
    let audit = open(&disk, |options| options.chain = true);
    disk.set_room(Some(5_000));
    (0..200).for_each(|number| record_done(&audit, number));
    disk.until(|disk| disk.failures > 2).await;
    // Its room is free only when nobody holds it open any more.
    disk.delete();
    healthy(&audit).await;
    assert!(audit.close(SOON).await);
    let ids = ids(&disk.lines());
    assert!(ids.len() < 200 && ids.last().is_some_and(|last| last == "r199"), "{ids:?}");
    assert!(verified(&disk.bytes()).is_sound());
}

#[tokio::test]
async fn a_full_disk_in_sync_mode_confirms_nothing() {
    let disk = Disk::default();
    let audit = open(&disk, |options| {
        options.mode = AuditMode::Sync;
        options.on_failure = AuditFailure::Deny;
    });
    disk.set_room(Some(100));
    assert!(!settled(record(&audit, 0)).await);
    disk.until(|disk| disk.failures > 1).await;
    assert!(!settled(record(&audit, 1)).await, "told at once while nothing can be written");
    disk.set_room(None);
    disk.until(|disk| disk.lines() == 2).await;
    assert!(settled(record(&audit, 2)).await);
    assert!(audit.close(SOON).await);
    assert_eq!(ids(&disk.synced_lines()), ["r0", "r1", "r2"]);
    assert_eq!(audit.counts().unconfirmed, 2);
}

#[tokio::test]
async fn a_writer_that_breaks_begins_again_and_says_what_was_lost() {
    let disk = Disk::default();
    let audit = open(&disk, |options| options.chain = true);
    record_done(&audit, 0);
    disk.until(|disk| disk.lines() == 1).await;
    disk.panic_next();
    record_done(&audit, 1);
    while audit.counts().writer_restarts == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    record_done(&audit, 2);
    assert!(audit.close(SOON).await);
    assert_eq!(audit.counts().lost[Loss::WriterBroken.index()], 1);
    assert_eq!(ids(&disk.lines()), ["r0", "r2"]);
    let report = verified(&disk.bytes());
    assert_eq!((report.declared_lost, report.missing, report.findings_count), (1, 0, 1), "{report:?}");
}

#[tokio::test]
async fn a_disk_that_hangs_without_an_error_is_not_healthy() {
    let disk = Disk::default();
    let audit = open(&disk, |_| {});
    disk.hold();
    record_done(&audit, 0);
    let ailing = async {
        while audit.counts().healthy {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, ailing).await.expect("it is noticed");
    disk.go_on();
    healthy(&audit).await;
    assert!(audit.close(SOON).await);
}

#[tokio::test]
async fn a_writer_that_is_stuck_at_the_end_holds_nobody() {
    let disk = Disk::default();
    let audit = open(&disk, |_| {});
    disk.hold();
    (0..7).for_each(|number| record_done(&audit, number));
    assert!(!audit.close(Duration::from_millis(20)).await);
    assert_eq!(audit.counts().lost[Loss::Stopped.index()], 7);
    disk.go_on();
}

#[tokio::test]
async fn many_threads_leave_one_record_each() {
    let disk = Disk::default();
    let audit = open(&disk, |options| {
        options.queue_records_max = 64;
        options.wait_ms = 60_000;
        options.chain = true;
    });
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let audit = audit.clone();
            tokio::spawn(async move {
                for number in 0..500 {
                    assert!(settled(record(&audit, task * 1_000 + number)).await);
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(SOON, task).await.unwrap().unwrap();
    }
    assert!(audit.close(SOON).await);
    let mut ids = ids(&disk.lines());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4_000);
    let report = verified(&disk.bytes());
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.chained, report.lines);
}

#[tokio::test]
async fn the_open_options_are_refused_where_they_cannot_be() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| AuditOptions { file: Some(directory.path().join(name)), ..options() };
    let refused = |options: AuditOptions| Audit::open(options).unwrap_err().to_string();
    std::os::unix::fs::symlink("/etc/hostname", directory.path().join("link")).unwrap();
    assert!(refused(at("link")).contains("neither a regular file nor a named pipe"));
    assert!(refused(at(".")).contains("neither a regular file nor a named pipe"));
    assert!(refused(at("missing/audit.jsonl")).contains("No such file"));
    let held = Audit::open(at("audit.jsonl")).unwrap();
    assert!(refused(at("audit.jsonl")).contains("another process writes it"));
    assert!(held.close(SOON).await);
    drop(Arc::new(held));
}
