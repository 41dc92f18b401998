//! Names of objects in a bucket.

use std::fmt;

use ulid::Ulid;

/// One object of one block. `Display` gives its key below the bucket's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockObject {
    /// `<ULID>/meta.json`: its presence makes the block visible.
    Meta(Ulid),
    /// `<ULID>/index`.
    Index(Ulid),
    /// `<ULID>/chunks/000001` and so on; segments count from 1.
    Chunks(Ulid, u32),
    /// `<ULID>/deletion-mark.json`: the block is to be deleted after a delay.
    DeletionMark(Ulid),
    /// `<ULID>/no-compact-mark.json`: the compactor leaves the block alone.
    NoCompactMark(Ulid),
    /// `<ULID>/no-downsample-mark.json`: the block is not downsampled.
    NoDownsampleMark(Ulid),
}

impl BlockObject {
    /// The block that the object belongs to.
    pub const fn block(self) -> Ulid {
        match self {
            Self::Meta(id)
            | Self::Index(id)
            | Self::Chunks(id, _)
            | Self::DeletionMark(id)
            | Self::NoCompactMark(id)
            | Self::NoDownsampleMark(id) => id,
        }
    }

    /// The object that `key` names, or `None` when the key is not part of a block in this layout.
    pub fn parse(key: &str) -> Option<Self> {
        let (block, rest) = key.split_once('/')?;
        let id = parse_block_id(block)?;
        match rest {
            "meta.json" => Some(Self::Meta(id)),
            "index" => Some(Self::Index(id)),
            "deletion-mark.json" => Some(Self::DeletionMark(id)),
            "no-compact-mark.json" => Some(Self::NoCompactMark(id)),
            "no-downsample-mark.json" => Some(Self::NoDownsampleMark(id)),
            _ => {
                let segment = rest.strip_prefix("chunks/")?;
                let digits = segment.len() >= 6 && segment.bytes().all(|b| b.is_ascii_digit());
                let number = segment.parse().ok().filter(|n| digits && *n > 0)?;
                Some(Self::Chunks(id, number))
            }
        }
    }
}

/// The block that a top-level directory name stands for, or `None` when it is not a ULID in its
/// canonical form of 26 upper-case characters.
pub fn parse_block_id(dir: &str) -> Option<Ulid> {
    Ulid::from_string(dir)
        .ok()
        .filter(|id| id.to_string() == dir)
}

impl fmt::Display for BlockObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta(id) => write!(f, "{id}/meta.json"),
            Self::Index(id) => write!(f, "{id}/index"),
            Self::Chunks(id, segment) => write!(f, "{id}/chunks/{segment:06}"),
            Self::DeletionMark(id) => write!(f, "{id}/deletion-mark.json"),
            Self::NoCompactMark(id) => write!(f, "{id}/no-compact-mark.json"),
            Self::NoDownsampleMark(id) => write!(f, "{id}/no-downsample-mark.json"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "01M7XZ7BK60XV1D2W7C47ZY0TG";

    #[test]
    fn keys_round_trip() {
        for name in [
            "meta.json",
            "index",
            "chunks/000001",
            "chunks/000123",
            "chunks/1000000",
            "deletion-mark.json",
            "no-compact-mark.json",
            "no-downsample-mark.json",
        ] {
            let key = format!("{BLOCK}/{name}");
            let object = BlockObject::parse(&key).expect("part of the layout");
            assert_eq!(object.to_string(), key);
            assert_eq!(object.block().to_string(), BLOCK);
        }
    }

    #[test]
    fn keys_of_others_are_not_ours() {
        for key in [
            "debug/metas/01M7XZ7BK60XV1D2W7C47ZY0TG.json".to_owned(),
            "thanos/meta.json".to_owned(),
            format!("{}/meta.json", BLOCK.to_lowercase()),
            format!("{BLOCK}/meta.json/x"),
            format!("{BLOCK}/chunks/000000"),
            format!("{BLOCK}/chunks/00001"),
            format!("{BLOCK}/chunks/+00001"),
            BLOCK.to_owned(),
        ] {
            assert_eq!(BlockObject::parse(&key), None, "{key}");
        }
    }
}
