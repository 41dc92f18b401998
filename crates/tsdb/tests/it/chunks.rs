//! Chunks of blocks that Prometheus wrote.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use model::{Sample, Value};
use tsdb::chunk::{Chunk, Encoding, histogram, xor};
use tsdb::cursor::{Cursor, crc32c};

use crate::conformance::{dump_fields, dump_lines, tsdb_dir};

/// The chunks of a block's segments, in order.
fn block_chunks(block: &Path) -> Vec<Chunk> {
    let mut segments: Vec<_> = fs::read_dir(block.join("chunks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    segments
        .iter()
        .flat_map(|path| segment_chunks(&fs::read(path).unwrap()))
        .collect()
}

fn segment_chunks(segment: &[u8]) -> Vec<Chunk> {
    let mut cursor = Cursor::new(segment);
    assert_eq!(cursor.be32("magic").unwrap(), 0x85bd_40dd);
    cursor.take(4, "version and padding").unwrap();
    let mut chunks = Vec::new();
    while !cursor.is_empty() {
        let len = cursor.uvarint("length").unwrap() as usize;
        let body = cursor.take(1 + len, "encoding and payload").unwrap();
        assert_eq!(cursor.be32("checksum").unwrap(), crc32c(body));
        chunks.push(Chunk {
            encoding: Encoding::from_byte(body[0]).unwrap(),
            data: Bytes::copy_from_slice(&body[1..]),
        });
    }
    chunks
}

/// The directories inside `dir` that are blocks.
fn blocks(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut blocks: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("meta.json").is_file())
        .collect();
    blocks.sort();
    assert!(!blocks.is_empty(), "no blocks in {}", dir.display());
    blocks
}

#[test]
fn samples_are_those_that_prometheus_reads() {
    let Some(dir) = tsdb_dir() else { return };
    for name in ["float", "utf8", "hist", "fhist", "nhcb"] {
        let chunks: Vec<_> = blocks(&dir.join("blocks").join(name))
            .iter()
            .flat_map(|block| block_chunks(block))
            .collect();
        let counted: usize = chunks
            .iter()
            .map(|chunk| usize::from(chunk.sample_count().unwrap()))
            .sum();
        let samples: Vec<Sample> = chunks
            .iter()
            .flat_map(Chunk::samples)
            .map(Result::unwrap)
            .collect();
        assert_eq!(counted, samples.len());

        let dump = dump_lines(&dir.join(format!("blocks/{name}.dump.tsv.gz")));
        assert_eq!(samples.len(), dump.len());
        for (sample, line) in samples.iter().zip(&dump) {
            let columns: Vec<_> = line.split('\t').collect();
            assert_eq!(
                dump_fields(sample),
                [columns[1], columns[2], columns[4]],
                "{line}"
            );
        }
    }
}

/// Encodes the chunks of one block again, each from its own samples.
#[derive(Default)]
struct Rewriter {
    histogram: histogram::Encoder,
    float_histogram: histogram::FloatEncoder,
    last_time: Option<i64>,
}

impl Rewriter {
    fn rewrite(&mut self, chunk: &Chunk) -> Chunk {
        let samples: Vec<Sample> = chunk.samples().map(Result::unwrap).collect();
        let is_first = self.last_time.is_none_or(|last| last >= samples[0].t);
        if is_first {
            *self = Self::default();
        }
        self.last_time = samples.last().map(|sample| sample.t);
        let mut floats = xor::Encoder::new();
        for sample in &samples {
            let finished = match &sample.value {
                Value::Float(v) => {
                    floats.append(sample.t, *v);
                    None
                }
                Value::Histogram(histogram) => self.histogram.append(sample.t, histogram).unwrap(),
                Value::FloatHistogram(histogram) => {
                    self.float_histogram.append(sample.t, histogram).unwrap()
                }
            };
            assert_eq!(finished, None, "a chunk's samples fit into one chunk");
        }
        let mut rewritten = match chunk.encoding {
            Encoding::Histogram => self.histogram.cut(),
            Encoding::FloatHistogram => self.float_histogram.cut(),
            _ => return floats.chunk(),
        };
        if is_first {
            // The header compares with a chunk of the block before.
            let mut data = rewritten.data.to_vec();
            data[2] = chunk.data[2];
            rewritten.data = Bytes::from(data);
        }
        rewritten
    }
}

#[test]
fn samples_encode_to_the_bytes_that_prometheus_wrote() {
    let Some(dir) = tsdb_dir() else { return };
    let mut all: Vec<_> = ["float", "utf8", "hist", "fhist", "nhcb"]
        .iter()
        .flat_map(|name| blocks(&dir.join("blocks").join(name)))
        .collect();
    all.extend(blocks(&dir.join("compacted")));
    let mut compared = 0;
    for block in all {
        let mut rewriter = Rewriter::default();
        for (i, chunk) in block_chunks(&block).iter().enumerate() {
            let rewritten = rewriter.rewrite(chunk);
            assert_eq!(&rewritten, chunk, "chunk {i} of {}", block.display());
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} chunks compared");
}

/// Decodes whatever can be decoded; true if that was all.
fn decodes(encoding: Encoding, data: &[u8]) -> bool {
    let data = Bytes::copy_from_slice(data);
    let chunk = Chunk { encoding, data };
    let results: Vec<_> = chunk.samples().map(|sample| sample.is_ok()).collect();
    let errors = results.iter().filter(|ok| !**ok).count();
    assert!(errors <= 1, "the first error ends a chunk");
    let (mut times, mut values) = (Vec::new(), Vec::new());
    if encoding == Encoding::Xor {
        let columns = xor::decode_columns(&chunk.data, &mut times, &mut values);
        assert_eq!(columns.is_ok(), errors == 0);
    }
    errors == 0
}

#[test]
fn damaged_chunks_fail_or_decode_but_never_panic() {
    let Some(dir) = tsdb_dir() else { return };
    for name in ["float", "hist", "fhist", "nhcb"] {
        let block = &blocks(&dir.join("blocks").join(name))[0];
        let chunks = block_chunks(block);
        for chunk in [&chunks[0], &chunks[chunks.len() / 2]] {
            let mut data = chunk.data.to_vec();
            for at in 0..data.len() {
                assert!(
                    !decodes(chunk.encoding, &data[..at]),
                    "{name}: {at} of {} bytes are not a chunk",
                    data.len()
                );
                for flip in [1, 0x10, 0x80, 0xff] {
                    data[at] ^= flip;
                    decodes(chunk.encoding, &data);
                    data[at] ^= flip;
                }
            }
            assert!(decodes(chunk.encoding, &data));
        }
    }
}
