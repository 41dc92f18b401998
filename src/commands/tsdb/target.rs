//! What a tool is pointed at: a data directory, or one block.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tsdb::block::{Block, META_FILE};
use tsdb::db::{Blocks, DataDir};

/// The directory to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// A data directory of Prometheus or an ingester, or a single block.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Target {
    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// True when the directory is a block.
    pub(super) fn is_block(&self) -> bool {
        self.dir.join(META_FILE).is_file()
    }

    /// Fails with advice when there is nothing to look at.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !self.dir.is_dir() {
            bail!(
                "{} is not a directory; give a data directory or a block",
                self.dir.display()
            );
        }
        Ok(())
    }

    /// The block, or the blocks of the data directory.
    pub(super) fn blocks(&self) -> anyhow::Result<Blocks> {
        self.check()?;
        if self.is_block() {
            let block = Block::open(&self.dir)?;
            return Ok(Blocks {
                readable: vec![block],
                ..Blocks::default()
            });
        }
        Ok(Blocks::open(&self.dir)?)
    }

    /// Everything that can be read: the block, or the blocks and the head of the data directory.
    pub(super) fn open(&self) -> anyhow::Result<DataDir> {
        self.check()?;
        if self.is_block() {
            return Ok(DataDir::of_block(Block::open(&self.dir)?));
        }
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        DataDir::open(&self.dir, workers).with_context(|| format!("open {}", self.dir.display()))
    }
}
