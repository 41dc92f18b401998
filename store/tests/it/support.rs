//! Blocks, buckets with them, gateways over those, and what gateways answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bucket::Bucket;
use bucket::fetch::Fetcher;
use bucket::metrics::Operation;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::{Labels, MatchOp, Matcher, TimeRange};
use runtime::ManualClock;
use store::gateway::{Gateway, Options, block_of};
use store::limits::Limits;
use store::set::BlockSet;
use storeapi::wire::decode::Decoder;
use storeapi::{
    ChunkData, Frame, Info, LabelsRequest, Series, SeriesRequest, Store, StoreError, Strings,
};
use tempfile::TempDir;
use tsdb::block::meta::{Downsample, Thanos};
use tsdb::block::{BlockWriter, Meta};
use tsdb::chunk::aggregate::{self, Aggregate};
use tsdb::chunk::{SeriesEncoder, TimedChunk};
use ulid::Ulid;

/// Limits that end nothing.
pub(crate) const UNLIMITED: Limits = Limits {
    series_max: 0,
    samples_max: 0,
    blocks_max: 0,
    bytes_max: 0,
    mapped_bytes_max: 0,
};

/// A gateway and the directory that it keeps headers in.
pub(crate) struct Setup {
    pub(crate) bucket: Bucket,
    pub(crate) gateway: Gateway,
    pub(crate) data: TempDir,
}

pub(crate) fn options(data: &Path, limits: Limits) -> Options {
    Options {
        data_dir: data.to_owned(),
        disk_cache_bytes: 0,
        index_cache_bytes: 64 << 20,
        chunk_bytes: 64 << 20,
        index_idle: Duration::from_secs(60),
        series_batch: 1000,
        concurrency: 4,
        limits,
    }
}

impl Setup {
    /// A gateway that serves what is in `bucket`.
    pub(crate) async fn over(bucket: Bucket, limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        let gateway = Gateway::new(bucket.clone(), clock, options(data.path(), limits));
        let setup = Self {
            bucket,
            gateway,
            data,
        };
        setup.sync().await;
        setup
    }

    /// Serves what is in the bucket now.
    pub(crate) async fn sync(&self) {
        let fetcher = Fetcher::new(self.bucket.clone(), None, Vec::new());
        let view = fetcher.sync(0).await.unwrap();
        let blocks = view.blocks.values().filter_map(block_of).map(Arc::new);
        self.gateway.serve(BlockSet::new(blocks));
    }

    /// Ranges that were read of the bucket so far.
    pub(crate) fn reads(&self) -> u64 {
        self.bucket.metrics().count(Operation::GetRange)
    }

    /// The whole answer to a request, checked for its order. As messages it must be the same.
    pub(crate) async fn series(&self, request: SeriesRequest) -> Result<Answer, StoreError> {
        let frames = Answer::of(&self.gateway, request.clone()).await;
        if !self.bucket.is_local() {
            return frames;
        }
        let messages = Answer::of(&ByMessages(self.gateway.clone()), request).await;
        match (&frames, &messages) {
            (Ok(frames), Ok(messages)) => {
                assert!(frames.series == messages.series);
                assert_eq!(frames.warnings, messages.warnings);
            }
            (frames, messages) => {
                let kind =
                    |answer: &Result<Answer, StoreError>| answer.as_ref().err().map(|e| e.kind);
                assert_eq!(kind(frames), kind(messages));
            }
        }
        frames
    }
}

/// Empty buckets of either kind: behind requests, and in a directory whose files are mapped.
pub(crate) fn buckets() -> [(Bucket, TempDir); 2] {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [memory, local] = dirs;
    let mapped = Bucket::in_directory(local.path()).unwrap();
    [(Bucket::in_memory(), memory), (mapped, local)]
}

impl Answer {
    /// What a store answers, checked for its order.
    pub(crate) async fn of(store: &dyn Store, request: SeriesRequest) -> Result<Self, StoreError> {
        let mut answer = Self::default();
        let mut frames = store.series(request);
        while let Some(frame) = frames.next().await {
            match frame? {
                Frame::Series(series) => answer.series.extend(series),
                Frame::Warning(warning) => answer.warnings.push(warning),
            }
        }
        assert!(answer.series.is_sorted_by(|a, b| a.labels <= b.labels));
        Ok(answer)
    }
}

/// A gateway that is read as a gRPC server reads it: by messages, of which frames are made here.
#[derive(Debug)]
pub(crate) struct ByMessages(pub(crate) Gateway);

impl Store for ByMessages {
    fn info(&self) -> Info {
        self.0.info()
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        // A few series each, so that there are many.
        let Some(messages) = self.0.messages(&request, 3) else {
            return self.0.series(request);
        };
        let frames = messages.map(|message| {
            let written = message?;
            let (head, message) = (written.bytes.slice(..5), written.bytes.slice(5..));
            let len = u32::from_be_bytes(head[1..].try_into().unwrap());
            assert_eq!((head[0], len as usize), (0, message.len()));
            let frame = Decoder::default().decode(&message)?.unwrap();
            let count = match &frame {
                Frame::Series(series) => series.len(),
                Frame::Warning(_) => 0,
            };
            assert_eq!(written.series, count as u64);
            Ok(frame)
        });
        frames.boxed()
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        self.0.label_names(request)
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        self.0.label_values(name, request)
    }
}

/// An answer to a request for series.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) series: Vec<Series>,
    pub(crate) warnings: Vec<String>,
}

impl Answer {
    /// Every sample as a line of a dump, sorted.
    pub(crate) fn dump(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for series in &self.series {
            let mut line = tsdb::db::dump::Line::new(&series.labels);
            for chunk in &series.chunks {
                let ChunkData::Raw(chunk) = &chunk.data else {
                    panic!("an aggregate");
                };
                for sample in chunk.samples() {
                    lines.insert(line.of(&sample.unwrap()).to_owned());
                }
            }
        }
        lines
    }

    pub(crate) fn labels(&self) -> Vec<String> {
        self.series.iter().map(|s| s.labels.to_string()).collect()
    }
}

/// A request for everything.
pub(crate) fn everything() -> SeriesRequest {
    SeriesRequest {
        range: TimeRange::ALL,
        matchers: vec![Matcher::new(MatchOp::NotEqual, "none", "x").unwrap()],
        ..SeriesRequest::default()
    }
}

/// Copies the files of a block into a bucket.
pub(crate) async fn put_block(bucket: &Bucket, dir: &Path) {
    let id = dir.file_name().unwrap().to_str().unwrap();
    let segments = (1..).map(|n| format!("chunks/{n:06}"));
    let segments = segments.take_while(|name| dir.join(name).exists());
    for name in segments.chain(["index".to_owned(), "meta.json".to_owned()]) {
        let bytes = std::fs::read(dir.join(&name)).unwrap();
        bucket.put(&format!("{id}/{name}"), bytes).await.unwrap();
    }
}

/// Puts another block like one of a single segment into its bucket.
pub(crate) async fn copy_block(bucket: &Bucket, from: Ulid, to: Ulid) {
    for name in ["index", "chunks/000001", "meta.json"] {
        let read = bucket.get(&format!("{from}/{name}"), u64::MAX).await;
        let mut bytes = read.unwrap().to_vec();
        if name == "meta.json" {
            let meta = String::from_utf8(bytes).unwrap();
            bytes = meta
                .replace(&from.to_string(), &to.to_string())
                .into_bytes();
        }
        bucket.put(&format!("{to}/{name}"), bytes).await.unwrap();
    }
}

/// What a block is made of.
pub(crate) struct Recipe {
    pub(crate) n: u64,
    pub(crate) external: &'static [(&'static str, &'static str)],
    pub(crate) resolution: i64,
    pub(crate) range: TimeRange,
    /// Series in any order.
    pub(crate) series: Vec<Labels>,
}

impl Recipe {
    pub(crate) fn id(&self) -> Ulid {
        Ulid::from_parts(1_600_000_000_000 + self.n, 0)
    }

    /// Writes the block into the directory `parent`; one sample each 15 s, of random bits, so that
    /// chunks are large.
    pub(crate) fn write(&self, parent: &Path) -> Ulid {
        self.write_chunks(parent, |labels| self.chunks(labels))
    }

    /// Writes the block with other chunks.
    fn write_chunks(&self, parent: &Path, chunks: impl Fn(&Labels) -> Vec<TimedChunk>) -> Ulid {
        let series: BTreeSet<&Labels> = self.series.iter().collect();
        let content = series
            .into_iter()
            .map(|labels| (labels.clone(), chunks(labels)));
        let content: BTreeMap<Labels, Vec<TimedChunk>> = content.collect();
        let mut writer = BlockWriter::with_segment_size(parent, self.id(), 4 << 20).unwrap();
        let symbols: BTreeSet<&str> = content
            .keys()
            .flat_map(|l| l.iter().flat_map(|(n, v)| [n, v]))
            .collect();
        for symbol in symbols {
            writer.add_symbol(symbol).unwrap();
        }
        for (labels, chunks) in &content {
            writer.add_series(labels, chunks).unwrap();
        }
        let mut meta = Meta::new(self.id(), self.range);
        meta.thanos = Some(Thanos {
            version: 1,
            labels: self
                .external
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            downsample: Downsample {
                resolution: self.resolution,
                ..Downsample::default()
            },
            ..Thanos::default()
        });
        writer.finish(meta).unwrap().unwrap().ulid
    }

    fn chunks(&self, labels: &Labels) -> Vec<TimedChunk> {
        let mut encoder = SeriesEncoder::new();
        let mut chunks = Vec::new();
        let mut bits = labels.stable_hash();
        for t in (self.range.min..self.range.max).step_by(15_000) {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = (bits >> 11) as f64;
            chunks.extend(encoder.push_float(t, value).unwrap());
        }
        chunks.extend(encoder.finish());
        chunks
    }

    /// A downsampled chunk, which has counts, and sums if told so.
    fn downsampled(&self, has_sums: bool) -> TimedChunk {
        let mut inner = self.chunks(&Labels::empty()).swap_remove(0);
        let mut all = [const { None }; 5];
        all[Aggregate::Sum as usize] = has_sums.then(|| inner.chunk.clone());
        all[Aggregate::Count as usize] = Some(inner.chunk);
        inner.chunk = aggregate::encode(&all);
        inner
    }

    /// Writes the block and copies it into a bucket.
    pub(crate) async fn put(&self, bucket: &Bucket) -> Ulid {
        let dir = tempfile::tempdir().unwrap();
        let id = self.write(dir.path());
        put_block(bucket, &dir.path().join(id.to_string())).await;
        id
    }

    /// The same with other chunks for each series.
    pub(crate) async fn put_chunks(
        &self,
        bucket: &Bucket,
        chunks: impl Fn(&Labels) -> Vec<TimedChunk>,
    ) -> Ulid {
        let dir = tempfile::tempdir().unwrap();
        let id = self.write_chunks(dir.path(), chunks);
        put_block(bucket, &dir.path().join(id.to_string())).await;
        id
    }

    /// The same with a downsampled chunk for each series, of which some have sums.
    pub(crate) async fn put_downsampled(&self, bucket: &Bucket, has_sums: fn(&Labels) -> bool) {
        let dir = tempfile::tempdir().unwrap();
        let id = self.write_chunks(dir.path(), |labels| {
            vec![self.downsampled(has_sums(labels))]
        });
        put_block(bucket, &dir.path().join(id.to_string())).await;
    }
}

/// Floats, whose values are their times, in as many chunks as they need.
pub(crate) fn floats(times: impl IntoIterator<Item = i64>) -> Vec<TimedChunk> {
    let mut encoder = SeriesEncoder::new();
    let mut chunks = Vec::new();
    for t in times {
        chunks.extend(encoder.push_float(t, t as f64).unwrap());
    }
    chunks.extend(encoder.finish());
    chunks
}

/// Series `m{__name__="mN", i="...", job="jN"}`.
pub(crate) fn grid(count: u32) -> Vec<Labels> {
    let labels = (0..count).map(|i| {
        Labels::from_pairs([
            ("__name__", format!("m{}", i % 10)),
            ("i", format!("{i:06}")),
            ("job", format!("j{}", i % 7)),
        ])
    });
    labels.collect()
}

/// The first two hours of some day.
pub(crate) const TWO_HOURS: TimeRange = TimeRange::new(1_600_000_000_000, 1_600_007_200_000);
