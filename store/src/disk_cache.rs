//! Pages of objects on local disk, so that a restart, or less memory than there is to read, does not
//! mean to ask the bucket again.
//!
//! Pages are appended to segments. When all segments together have too many bytes, the oldest goes;
//! a page that is read from one of the oldest is appended again, so that what is in use stays.
//! Nothing is synced and nothing is trusted: every page has a checksum, and says which page it is.
//! What a crash tore is found when it is read, and is then not there. The format is described in
//! `docs/format/page-cache.md`.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bucket::BlockObject;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tsdb::cursor::crc32c;
use ulid::Ulid;

use crate::stats::DiskStats;

/// What identifies a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageKey {
    /// Its object.
    pub object: BlockObject,
    /// What the object holds; see [`PagedObject::content`](crate::pages::PagedObject::content).
    pub content: u32,
    /// Its number in the object.
    pub page: u32,
}

const MAGIC: u32 = 0x7067_6332;
/// Magic number, file of the block, block, content, page, length, checksum of the page, checksum of these.
const HEAD_LEN: usize = 4 + 4 + 16 + 4 + 4 + 4 + 4 + 4;
/// Where the last of these begins.
const HEAD_CRC_AT: usize = HEAD_LEN - 4;
/// Largest page, less than the smallest segment.
const PAGE_MAX: usize = 256 << 10;
/// All bytes in so many segments, as long as none is too small or too large.
const SEGMENTS: u64 = 16;
const SEGMENT_BYTES: (u64, u64) = (1 << 20, 256 << 20);
/// Most segments, however small: each has an open file.
const SEGMENTS_MAX: usize = 64;
/// Ends of the names of segments.
const SUFFIX: &str = ".pages";

/// Pages in a directory. Everything here blocks.
#[derive(Debug)]
pub struct DiskCache {
    dir: PathBuf,
    bytes_max: u64,
    segment_bytes: u64,
    stats: Arc<DiskStats>,
    known: Mutex<Known>,
    /// The segment that is appended to; `None` when there is none yet, or it cannot be written.
    active: Mutex<Option<Active>>,
}

#[derive(Debug, Default)]
struct Known {
    places: HashMap<PageKey, Place>,
    /// In order of their numbers.
    segments: VecDeque<Segment>,
    bytes: u64,
}

/// Where a page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    segment: u64,
    /// Of its head.
    offset: u32,
    /// Bytes of the page.
    len: u32,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    file: Arc<File>,
    bytes: u64,
}

#[derive(Debug)]
struct Active {
    number: u64,
    file: Arc<File>,
    at: u64,
}

impl DiskCache {
    /// The pages in `dir`, which is made when it is not there. All segments together have at most
    /// `bytes_max` bytes, or those of one segment if that is less.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(dir: PathBuf, bytes_max: u64, stats: Arc<DiskStats>) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let (least, most) = SEGMENT_BYTES;
        let cache = Self {
            known: Mutex::new(scan(&dir)?),
            active: Mutex::default(),
            segment_bytes: (bytes_max / SEGMENTS).clamp(least, most),
            bytes_max,
            stats,
            dir,
        };
        cache.shrink();
        Ok(cache)
    }

    /// The page `key` if it is here, and has `len` bytes.
    pub fn get(&self, key: PageKey, len: usize) -> Option<Bytes> {
        self.stats.requests.add(1);
        let (place, file, is_old) = self.known.lock().find(key)?;
        if place.len as usize != len {
            return None;
        }
        match read(&file, key, place) {
            Some(page) => {
                self.stats.hits.add(1);
                if is_old {
                    self.put([(key, page.clone())]);
                }
                Some(page)
            }
            None => {
                self.stats.damaged.add(1);
                let mut known = self.known.lock();
                if known.places.get(&key) == Some(&place) {
                    known.places.remove(&key);
                }
                None
            }
        }
    }

    /// Keeps pages. What cannot be written is not kept, and is no error.
    pub fn put(&self, pages: impl IntoIterator<Item = (PageKey, Bytes)>) {
        let mut active = self.active.lock();
        if let Err(error) = self.append(&mut active, pages) {
            // The next one starts anew, should there be room then.
            *active = None;
            self.stats.failures.add(1);
            tracing::warn!(dir = %self.dir.display(), %error, "pages are not kept on disk");
        }
    }

    fn append(
        &self,
        active: &mut Option<Active>,
        pages: impl IntoIterator<Item = (PageKey, Bytes)>,
    ) -> io::Result<()> {
        let mut entry = BytesMut::new();
        for (key, page) in pages {
            let Some(head) = head(key, &page) else {
                continue;
            };
            entry.clear();
            entry.extend_from_slice(&head);
            entry.extend_from_slice(&page);
            let room = self.segment_bytes - entry.len() as u64;
            let segment = match active {
                Some(segment) if segment.at <= room => segment,
                _ => active.insert(self.begin()?),
            };
            segment.file.write_all_at(&entry, segment.at)?;
            let place = Place {
                segment: segment.number,
                // A segment has 256 MiB at most.
                offset: segment.at as u32,
                len: page.len() as u32,
            };
            segment.at += entry.len() as u64;
            let mut known = self.known.lock();
            known.add(segment.number, entry.len() as u64);
            known.places.insert(key, place);
            self.stats.bytes.set(known.bytes);
        }
        Ok(())
    }

    /// Makes room, and starts a segment in it.
    fn begin(&self) -> io::Result<Active> {
        self.shrink();
        // Nobody else adds one: whoever appends is alone.
        let last = self.known.lock().segments.back().map(|last| last.number);
        let number = last.map_or(1, |last| last + 1);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path(number))?;
        let file = Arc::new(file);
        self.known.lock().segments.push_back(Segment {
            number,
            file: Arc::clone(&file),
            bytes: 0,
        });
        Ok(Active {
            number,
            file,
            at: 0,
        })
    }

    /// Makes room for one more segment.
    fn shrink(&self) {
        // Removing a large file takes a while, in which pages of others can be found.
        for gone in self.take_oldest() {
            if let Err(error) = fs::remove_file(self.path(gone.number)) {
                tracing::debug!(%error, "a segment of pages is not removed");
            }
        }
    }

    /// Forgets the oldest segments until there is room for one more.
    fn take_oldest(&self) -> Vec<Segment> {
        let mut known = self.known.lock();
        let room = self.bytes_max.saturating_sub(self.segment_bytes);
        let mut taken = Vec::new();
        while known.bytes > room || known.segments.len() >= SEGMENTS_MAX {
            let Some(oldest) = known.segments.pop_front() else {
                break;
            };
            known.bytes -= oldest.bytes;
            known.places.retain(|_, p| p.segment != oldest.number);
            taken.push(oldest);
        }
        self.stats.bytes.set(known.bytes);
        taken
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016}{SUFFIX}"))
    }
}

impl Known {
    /// Where a page is, and whether its segment is one of the oldest.
    fn find(&self, key: PageKey) -> Option<(Place, Arc<File>, bool)> {
        let place = *self.places.get(&key)?;
        let at = self
            .segments
            .binary_search_by_key(&place.segment, |s| s.number);
        let at = at.ok()?;
        let is_old = at < self.segments.len() / 4;
        Some((place, Arc::clone(&self.segments[at].file), is_old))
    }

    fn add(&mut self, number: u64, bytes: u64) {
        if let Some(last) = self.segments.back_mut().filter(|s| s.number == number) {
            last.bytes += bytes;
            self.bytes += bytes;
        }
    }
}

/// The file of a block as it is written: 0 for the index, else the number of a chunk segment.
const fn file_of(object: BlockObject) -> Option<(Ulid, u32)> {
    match object {
        BlockObject::Index(block) => Some((block, 0)),
        BlockObject::Chunks(block, number) if number > 0 => Some((block, number)),
        _ => None,
    }
}

/// What stands before a page; nothing for what is not kept.
fn head(key: PageKey, page: &[u8]) -> Option<[u8; HEAD_LEN]> {
    let (block, file) = file_of(key.object)?;
    let len = u32::try_from(page.len()).ok()?;
    if page.len() > PAGE_MAX {
        return None;
    }
    let mut head = [0; HEAD_LEN];
    head[..4].copy_from_slice(&MAGIC.to_be_bytes());
    head[4..8].copy_from_slice(&file.to_be_bytes());
    head[8..24].copy_from_slice(&block.0.to_be_bytes());
    head[24..28].copy_from_slice(&key.content.to_be_bytes());
    head[28..32].copy_from_slice(&key.page.to_be_bytes());
    head[32..36].copy_from_slice(&len.to_be_bytes());
    head[36..40].copy_from_slice(&crc32c(page).to_be_bytes());
    let crc = crc32c(&head[..HEAD_CRC_AT]);
    head[HEAD_CRC_AT..].copy_from_slice(&crc.to_be_bytes());
    Some(head)
}

/// The page that a head is of, and its length.
fn read_head(head: &[u8; HEAD_LEN]) -> Option<(PageKey, u32)> {
    let int = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if int(0) != MAGIC || int(HEAD_CRC_AT) != crc32c(&head[..HEAD_CRC_AT]) {
        return None;
    }
    let block: [u8; 16] = head[8..24].try_into().ok()?;
    let block = Ulid(u128::from_be_bytes(block));
    let object = match int(4) {
        0 => BlockObject::Index(block),
        number => BlockObject::Chunks(block, number),
    };
    let key = PageKey {
        object,
        content: int(24),
        page: int(28),
    };
    let len = int(32);
    (len as usize <= PAGE_MAX).then_some((key, len))
}

/// Reads a page; nothing when it is not what it should be.
fn read(file: &File, key: PageKey, place: Place) -> Option<Bytes> {
    // Not more than a page that was written, or whose head was sound.
    let mut entry = BytesMut::zeroed(HEAD_LEN + place.len as usize);
    file.read_exact_at(&mut entry, place.offset.into()).ok()?;
    let page = entry.split_off(HEAD_LEN).freeze();
    let expected = head(key, &page)?;
    (entry[..] == expected).then_some(page)
}

/// The pages in the segments of a directory. A segment ends where no sound head follows.
fn scan(dir: &Path) -> io::Result<Known> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        numbers.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    let mut known = Known::default();
    for number in numbers {
        let path = dir.join(format!("{number:016}{SUFFIX}"));
        match scan_segment(&path, number, &mut known) {
            Ok(segment) => {
                known.bytes += segment.bytes;
                known.segments.push_back(segment);
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "pages cannot be read and are left out");
            }
        }
    }
    Ok(known)
}

fn scan_segment(path: &Path, number: u64, known: &mut Known) -> io::Result<Segment> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut head = [0; HEAD_LEN];
    let mut at = 0;
    while at + HEAD_LEN as u64 <= bytes {
        file.read_exact_at(&mut head, at)?;
        let Some((key, len)) = read_head(&head) else {
            break;
        };
        let end = at + HEAD_LEN as u64 + u64::from(len);
        let Some(offset) = u32::try_from(at).ok().filter(|_| end <= bytes) else {
            break;
        };
        let place = Place {
            segment: number,
            offset,
            len,
        };
        known.places.insert(key, place);
        at = end;
    }
    Ok(Segment {
        number,
        file: Arc::new(file),
        bytes,
    })
}

#[cfg(test)]
mod tests;
