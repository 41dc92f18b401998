//! The index-header: what the store keeps of a block's index on local disk.
//!
//! It is Thanos' binary format, so that a gateway of either kind starts on the other's directory:
//! copies of the symbols, of the postings offset table and of the table of contents, made by three
//! range reads. [`Header`] is a source of the index' bytes that has just these sections, at the
//! offsets that they have in the index, so that [`tsdb::index::Reader`] opens over it. The format
//! is described in `docs/format/index-header.md`.

use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bucket::Bucket;
use bytes::Bytes;
use model::ErrorKind;
use storeapi::StoreError;
use tsdb::cursor::{Cursor, crc32c};
use tsdb::index::{TOC_LEN, Toc};
use tsdb::source::{ByteSource, Memory};
use tsdb::{Corruption, Error, durable};

use crate::error::of_bucket;
use crate::pages::PagedObject;

/// Name of the file in the directory of a block.
pub const HEADER_FILE: &str = "index-header";
/// Extension of the file beside it that says of which content of the index it is.
const CONTENT_EXTENSION: &str = "content";

const MAGIC: u32 = 0xbaaa_d792;
const VERSION: u8 = 1;
/// Magic number, version, version of the index, end of the postings.
const HEAD_LEN: usize = 4 + 1 + 1 + 8;
/// Offsets of the two sections, and a checksum.
const OWN_TOC_LEN: usize = 8 + 8 + 4;
/// Magic number and version of an index.
const INDEX_HEAD_LEN: u64 = 5;
/// Bytes that are requested at once of a large section.
const PART: u64 = 32 << 20;

/// A section of the index, and where the header file has it.
#[derive(Debug, Clone)]
struct Section {
    /// Offsets in the index.
    range: Range<u64>,
    bytes: Bytes,
}

impl Section {
    #[inline]
    fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        if range.start < self.range.start || range.end > self.range.end {
            return None;
        }
        let base = self.range.start;
        // The section lies in memory, so that its length fits.
        let indices = (range.start - base) as usize..(range.end - base) as usize;
        Some(self.bytes.slice(indices))
    }
}

/// An open index-header, mapped from its file.
#[derive(Debug)]
pub struct Header {
    path: PathBuf,
    /// Size of the index.
    size: u64,
    /// The index' first bytes.
    head: Section,
    symbols: Section,
    /// The postings offset table, the rest of the index included.
    table: Section,
}

impl Header {
    /// Maps the file at `path`, the header of an index of `size` bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the file is no header of such an index, [`Error::Unsupported`] for a version
    /// other than 1, [`Error::Io`]. The sections' checksums are not verified here.
    pub fn open(path: &Path, size: u64) -> tsdb::Result<Self> {
        let file = Memory::map(path)?;
        let bytes = file.read(0..file.size())?;
        let header = Self::decode(path, &bytes)?;
        if header.size != size {
            let expected = format!("an index of {size} bytes, not of {}", header.size);
            return Err(Corruption::new(0, expected).in_file(path));
        }
        Ok(header)
    }

    /// Reads the header in `bytes`, which are those of the file at `path`; they are kept, not copied.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), but that the size of the index is as the header says.
    pub fn decode(path: &Path, bytes: &Bytes) -> tsdb::Result<Self> {
        let damage =
            |offset: usize, expected: &'static str| Corruption::new(offset, expected).in_file(path);
        let Some(own_toc_at) = bytes
            .len()
            .checked_sub(OWN_TOC_LEN)
            .filter(|at| *at >= HEAD_LEN)
        else {
            return Err(damage(0, "an index-header of at least 34 bytes"));
        };
        let mut c = Cursor::new(bytes);
        let mut head = || {
            let magic = c.be32("a magic number")?;
            Ok((magic, c.byte("a version")?, c.byte("an index version")?))
        };
        let (magic, version, index_version) = head().map_err(|d: Corruption| d.in_file(path))?;
        if magic != MAGIC {
            return Err(damage(0, "the magic number of an index-header"));
        }
        if version != VERSION {
            return Err(Error::Unsupported {
                what: format!("version {version} of the index-header {}", path.display()),
                advice: "expected version 1; delete the file, it is made anew",
            });
        }
        let own_toc = &bytes[own_toc_at..];
        let (offsets, crc) = own_toc.split_at(16);
        if crc32c(offsets).to_be_bytes() != crc {
            return Err(damage(own_toc_at + 16, "the checksum of the offsets"));
        }
        let mut c = Cursor::new(offsets);
        let mut offset = || c.be64("an offset").map(|at| at as usize);
        let symbols_at = offset().map_err(|d| d.in_file(path))?;
        let table_at = offset().map_err(|d| d.in_file(path))?;
        let toc_at = own_toc_at.saturating_sub(TOC_LEN);
        if symbols_at != HEAD_LEN || table_at < symbols_at || table_at > toc_at {
            return Err(damage(own_toc_at, "offsets of sections in order"));
        }
        // The table of contents names offsets of the index, which is as much longer than the copy
        // as what lies between the sections.
        let toc = Toc::decode(&bytes[toc_at..own_toc_at], u64::MAX).map_err(|d| d.in_file(path))?;
        let symbols = toc.symbols..toc.series;
        let table_len = (own_toc_at - table_at) as u64;
        let Some(size) = toc.postings_table.checked_add(table_len) else {
            return Err(damage(toc_at, "offsets of an index"));
        };
        if symbols.end - symbols.start != (table_at - symbols_at) as u64 {
            return Err(damage(toc_at, "symbols as long as the section"));
        }
        let mut index_head = 0xbaaa_d700_u32.to_be_bytes().to_vec();
        index_head.push(index_version);
        Ok(Self {
            path: path.to_owned(),
            size,
            head: Section {
                range: 0..INDEX_HEAD_LEN,
                bytes: index_head.into(),
            },
            symbols: Section {
                range: symbols,
                bytes: bytes.slice(symbols_at..table_at),
            },
            table: Section {
                range: toc.postings_table..size,
                bytes: bytes.slice(table_at..own_toc_at),
            },
        })
    }

    /// The bytes of a range of the index, where the header has it.
    #[inline]
    pub fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        self.symbols
            .get(range)
            .or_else(|| self.table.get(range))
            .or_else(|| self.head.get(range))
    }
}

impl ByteSource for Header {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> tsdb::Result<Bytes> {
        self.get(&range).ok_or_else(|| {
            let expected = format!("offsets up to {} in a section of the header", range.end);
            Corruption::new(0, expected)
                .shift(range.start)
                .in_file(&self.path)
        })
    }
}

/// Makes the index-header of a block at `path`, from its index in the bucket; replaces what is
/// there. After a crash the old file, the new one or none is there.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when the index has no sound table of contents, [`ErrorKind::NotFound`]
/// when there is no index, [`ErrorKind::Unavailable`] when reading or writing failed.
pub async fn build(bucket: &Bucket, of: &PagedObject, path: &Path) -> Result<(), StoreError> {
    let (index, size) = (of.object.to_string(), of.size);
    let read = async |range| {
        let bytes = bucket.get_range(of.version(&index), range).await;
        bytes.map_err(|e| of_bucket(&e))
    };
    let corrupt = |at: u64, damage: Corruption| {
        StoreError::new(
            ErrorKind::Corrupt,
            format!("{index} is {}", damage.shift(at)),
        )
    };
    let Some(toc_at) = size
        .checked_sub(TOC_LEN as u64)
        .filter(|&at| at >= INDEX_HEAD_LEN)
    else {
        let expected = "an index with a header of 5 and a table of contents of 52 bytes";
        return Err(corrupt(0, Corruption::new(0, expected)));
    };
    let toc = read(toc_at..size).await?;
    let toc = Toc::decode(&toc, toc_at).map_err(|d| corrupt(toc_at, d))?;
    let mut draft = Draft::create(path).map_err(|e| unwritten(path, &e))?;
    // The symbols follow the index' first bytes directly; those come along.
    let mut symbols = parts(toc.symbols..toc.series);
    let first = symbols.next().unwrap_or(toc.symbols..toc.series);
    let bytes = read(0..first.end).await?;
    draft
        .head(bytes[4], toc.postings_table)
        .and_then(|()| draft.write(&bytes[first.start as usize..]))
        .map_err(|e| unwritten(path, &e))?;
    for part in symbols.chain(parts(toc.postings_table..size)) {
        let bytes = read(part).await?;
        draft.write(&bytes).map_err(|e| unwritten(path, &e))?;
    }
    let table_at = HEAD_LEN as u64 + (toc.series - toc.symbols);
    draft
        .finish(table_at)
        .and_then(|()| note_content(path, of.content))
        .map_err(|e| unwritten(path, &e))
}

/// Notes of which content of the index the header at `path` is. Until that is done, the header is of
/// none, or of the content that it replaces: then it is made once more.
fn note_content(path: &Path, content: u32) -> std::io::Result<()> {
    durable::sync_dir(path.parent().unwrap_or(Path::new("")))?;
    fs::write(path.with_extension(CONTENT_EXTENSION), said(content))
}

fn said(content: u32) -> String {
    format!("{content:08x}\n")
}

/// Whether the header at `path` is one of this content of the index. One that does not say, as Thanos'
/// do not, is taken for it.
///
/// # Errors
/// [`Error::Corrupt`] when it is of another.
pub fn check_content(path: &Path, content: u32) -> tsdb::Result<()> {
    let path = path.with_extension(CONTENT_EXTENSION);
    match fs::read(&path) {
        Ok(bytes) if bytes != said(content).as_bytes() => {
            let expected = "the content of the index that the bucket lists";
            Err(Corruption::new(0, expected).in_file(&path))
        }
        _ => Ok(()),
    }
}

/// A range in pieces that are requested one after the other.
fn parts(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    let starts = range.step_by(PART as usize);
    starts.map(move |start| start..end.min(start + PART))
}

fn unwritten(path: &Path, source: &std::io::Error) -> StoreError {
    let message = format!("write {}: {source}; free space there", path.display());
    StoreError::new(ErrorKind::Unavailable, message)
}

/// A header file that is being written beside its place.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
    draft: PathBuf,
    file: File,
}

impl Draft {
    fn create(path: &Path) -> std::io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let draft = path.with_extension("tmp");
        Ok(Self {
            path: path.to_owned(),
            file: File::create(&draft)?,
            draft,
        })
    }

    fn head(&mut self, index_version: u8, postings_end: u64) -> std::io::Result<()> {
        let mut head = MAGIC.to_be_bytes().to_vec();
        head.extend([VERSION, index_version]);
        head.extend(postings_end.to_be_bytes());
        self.write(&head)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)
    }

    fn finish(mut self, table_at: u64) -> std::io::Result<()> {
        let mut toc = (HEAD_LEN as u64).to_be_bytes().to_vec();
        toc.extend(table_at.to_be_bytes());
        toc.extend(crc32c(&toc).to_be_bytes());
        self.write(&toc)?;
        self.file.sync_all()?;
        fs::rename(&self.draft, &self.path)
    }
}
