//! A real disk that is full: a small tmpfs, for which the test must be root.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::*;

/// Mounted until it is dropped.
struct Small {
    directory: TempDir,
}

impl Small {
    /// None where the right to mount is missing.
    fn mount(bytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={bytes},mode=0700");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &options, "portcullis-test"]).arg(directory.path());
        let mounted = command.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_tears_nothing_and_is_told_of_when_there_is_room() {
    let Some(disk) = Small::mount(256 << 10) else {
        // Past the harness, which shows only what failing tests print.
        let _ = std::io::stderr().write_all(b"NOT RUN: a full disk; mounting a tmpfs takes root\n");
        return;
    };
    let file = disk.path().join("audit.jsonl");
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 192 << 10]).unwrap();
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.audit_file = Some(file.clone());
        config.audit_mode = AuditMode::Drop;
        config.audit_queue_records_max = 100;
    })
    .await;
    let mut told = BTreeSet::new();
    for _ in 0..20 {
        told.extend(stream(&sidecar, 100).await);
    }
    assert_eq!(told.len(), 2_000, "no answer waits for a full disk");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.ends_with('\n'), "what was torn is cut");
    let before = recorded(&lines(&file));
    assert!((10..2_000).contains(&before.len()), "{}", before.len());

    fs::remove_file(&ballast).unwrap();
    let wait = async {
        while recorded(&lines(&file)).len() <= before.len() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("the trail goes on by itself");
    let after = stream(&sidecar, 20).await;
    sidecar.stop().await;
    let written = recorded(&lines(&file));
    assert!(after.iter().all(|id| written.contains(id)));
    let report = verified(&file);
    assert_eq!(report.missing, 0, "{report:?}");
    assert_eq!(report.declared_lost, 2_020 - written.len() as u64, "the losses are told to the last one");
    assert!(report.findings.iter().all(|finding| finding.kind == FindingKind::DeclaredLoss));
}
