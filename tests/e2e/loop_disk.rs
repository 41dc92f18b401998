//! Disks that lose power: a file system in a file, mounted through a loop device.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use promontory_tests::{missing, peer};

/// Free space must exceed what is kept in reserve; the file has holes, so that it takes little.
const SIZE: &str = "700M";

/// `FS_IOC_SHUTDOWN`, and the flag that has nothing reach the disk any more, not even the journal.
const SHUTDOWN: &str = r#"open(my $dir, "<", $ARGV[0]) or die; my $flags = pack("L", 2);
    ioctl($dir, 0x8004587D, $flags) or die "cannot shut down: $!""#;

/// A file system in a file of its own, until it is dropped.
pub(crate) struct LoopDisk {
    image: PathBuf,
    /// Where it is mounted.
    pub(crate) at: PathBuf,
}

fn run(command: &mut Command) -> anyhow::Result<Output> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(output)
}

impl LoopDisk {
    /// Makes a file system of the kind `kind` in `dir`, and mounts it there; `None` after saying what
    /// is missing.
    pub(crate) fn make(dir: &Path, kind: &str) -> anyhow::Result<Option<Self>> {
        let id = run(Command::new("id").arg("-u"))?;
        if id.stdout.trim_ascii() != b"0" || !Path::new("/dev/loop-control").exists() {
            // No machine must have these: a container has neither.
            println!("skipped: there are no loop devices, or no rights to mount them");
            return Ok(None);
        }
        let Some(mkfs) = peer(&format!("mkfs.{kind}")) else {
            return Ok(None);
        };
        let this = Self {
            image: dir.join(format!("{kind}.img")),
            at: dir.join(kind),
        };
        std::fs::create_dir_all(&this.at)?;
        run(Command::new("truncate").args(["-s", SIZE]).arg(&this.image))?;
        run(Command::new(mkfs).arg("-q").arg(&this.image))?;
        match this.mount() {
            Ok(()) => Ok(Some(this)),
            Err(error) => {
                missing(&format!("a loop mount of {kind} ({error})"));
                Ok(None)
            }
        }
    }

    fn mount(&self) -> anyhow::Result<()> {
        let mut mount = Command::new("mount");
        run(mount.args(["-o", "loop"]).arg(&self.image).arg(&self.at)).map(drop)
    }

    /// The number of its device, as `MAJOR:MINOR`.
    pub(crate) fn device(&self) -> anyhow::Result<String> {
        let found = run(Command::new("mountpoint").arg("-d").arg(&self.at))?;
        Ok(String::from_utf8(found.stdout)?.trim().to_owned())
    }

    /// Nothing reaches the disk from now on; whoever tries is told of an error.
    pub(crate) fn cut_power(&self) -> anyhow::Result<()> {
        run(Command::new("perl").args(["-e", SHUTDOWN]).arg(&self.at)).map(drop)
    }

    /// Brings back what had reached the disk. Nobody has files of it open.
    pub(crate) fn restore_power(&self) -> anyhow::Result<()> {
        // A process that was killed may still be on its way out.
        let mut tries = 0;
        while let Err(error) = run(Command::new("umount").arg(&self.at)) {
            ensure!(tries < 50, "{error}");
            tries += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
        self.mount()
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
