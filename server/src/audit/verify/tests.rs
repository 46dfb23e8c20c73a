//! Lines with one thing wrong each.

use super::*;

fn line(boot: &str, sequence: u64) -> String {
    format!(
        r#"{{"eventName":"GetOrder","eventType":"AwsApiCall","additionalEventData":{{"bootId":"{boot}","sequence":{sequence}}}}}"#
    )
}

fn gap(sequence: u64, first: u64, last: u64, lost: u64) -> String {
    format!(
        r#"{{"eventName":"AuditGap","eventType":"AwsServiceEvent","serviceEventDetails":{{"firstSequence":{first},"lastSequence":{last},"lost":{lost}}},"additionalEventData":{{"bootId":"a","sequence":{sequence}}}}}"#
    )
}

fn report(lines: &[String]) -> Report {
    let mut verifier = Verifier::new();
    for (at, line) in lines.iter().enumerate() {
        verifier.line("file", at as u64 + 1, line.as_bytes());
    }
    verifier.finish()
}

fn kinds(lines: &[String]) -> Vec<FindingKind> {
    report(lines).findings.iter().map(|finding| finding.kind).collect()
}

/// Lines that follow each other by hash.
fn chained(count: u64) -> Vec<String> {
    let mut previous = blake3::Hash::from_bytes([0; 32]);
    let chain = |sequence| {
        let line = format!(
            r#"{{"eventName":"GetOrder","eventType":"AwsApiCall","additionalEventData":{{"bootId":"a","sequence":{sequence},"previousHash":"{}"}}}}"#,
            previous.to_hex()
        );
        previous = blake3::hash(line.as_bytes());
        line
    };
    (1..=count).map(chain).collect()
}

#[test]
fn whole_files_are_sound() {
    let lines = [line("a", 1), line("b", 1), line("a", 2), line("a", 3), line("b", 2)];
    let report = report(&lines);
    assert!(report.is_sound());
    assert_eq!((report.lines, report.decisions, report.processes.len()), (5, 5, 2));
    assert_eq!((report.processes[0].first_sequence, report.processes[0].last_sequence), (1, 3));
    assert!(kinds(&chained(20)).is_empty());
}

#[test]
fn older_files_may_be_gone() {
    assert!(report(&[line("a", 1_000), line("a", 1_001)]).is_sound());
    assert!(kinds(&chained(20).split_off(5)).is_empty());
}

#[test]
fn missing_doubled_and_torn_lines_are_found() {
    let report = report(&[line("a", 1), line("a", 4), line("a", 5)]);
    assert_eq!((report.missing, report.findings[0].kind), (2, FindingKind::Missing));
    assert_eq!(kinds(&[line("a", 1), line("a", 2), line("a", 2)]), [FindingKind::Duplicate]);
    assert_eq!(kinds(&[line("a", 1), "{\"eventName\":".to_owned(), line("a", 2)]), [FindingKind::Torn]);
    assert_eq!(kinds(&[line("a", 1), "[]".to_owned(), "\u{0}".to_owned()]), [FindingKind::Torn; 2]);
}

#[test]
fn a_told_loss_is_no_mystery() {
    let lines = [line("a", 1), line("a", 2), gap(6, 3, 5, 3), line("a", 7)];
    let read = report(&lines);
    assert_eq!((read.declared_lost, read.missing), (3, 0));
    assert_eq!(kinds(&lines), [FindingKind::DeclaredLoss]);
    let late = [line("a", 1), line("a", 4), gap(5, 2, 3, 2), line("a", 6)];
    assert_eq!((report(&late).missing, kinds(&late)), (0, vec![FindingKind::DeclaredLoss]));
    let more = [line("a", 1), gap(6, 3, 5, 3), line("a", 7)];
    assert_eq!(report(&more).missing, 1, "number 2 is in no gap");
}

#[test]
fn told_losses_may_overlap() {
    for told in [[(3, 5), (4, 8)], [(4, 8), (3, 5)], [(3, 8), (4, 5)], [(4, 5), (3, 8)], [(3, 8), (3, 4)]] {
        let [(from, to), (also_from, also_to)] = told;
        let lines = [line("a", 1), gap(2, from, to, 1), gap(9, also_from, also_to, 1), line("a", 12)];
        assert_eq!(report(&lines).missing, 2, "{told:?}");
        let late = [lines.as_slice(), &[line("a", 8)]].concat();
        assert!(!kinds(&late).contains(&FindingKind::Duplicate), "{told:?}");
    }
    let backwards = [line("a", 1), gap(2, 9, 3, 1), gap(10, 3, 9, 7), line("a", 11)];
    assert_eq!(report(&backwards).missing, 0);
}

#[test]
fn many_told_losses_are_each_looked_up() {
    let mut verifier = Verifier::new();
    for at in 0..10_000 {
        let lost = at * 4 + 2;
        for line in [line("a", lost - 1), gap(lost + 2, lost, lost + 1, 2)] {
            verifier.line("file", at, line.as_bytes());
        }
    }
    let report = verifier.finish();
    assert_eq!((report.declared_lost, report.missing), (20_000, 0));
}

#[test]
fn a_change_anywhere_breaks_the_chain_there() {
    let lines = chained(10);
    for at in 0..9 {
        let mut changed = lines.clone();
        changed[at] = changed[at].replace("GetOrder", "PutOrder");
        let report = report(&changed);
        assert!(
            report.findings.iter().any(|f| f.kind == FindingKind::BrokenChain && f.line == at as u64 + 2)
        );
    }
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    assert!(kinds(&swapped).contains(&FindingKind::BrokenChain));
    let mut shorter = lines;
    shorter.remove(5);
    let kinds = kinds(&shorter);
    assert!(kinds.contains(&FindingKind::BrokenChain) && kinds.contains(&FindingKind::Missing));
}

#[test]
fn a_number_out_of_the_blue_costs_no_time() {
    let report = report(&[line("a", 1), line("a", u64::MAX), gap(2, 1, u64::MAX, u64::MAX)]);
    assert!(report.findings_count >= 1);
}
