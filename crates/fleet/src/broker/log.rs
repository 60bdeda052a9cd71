//! The records of one partition: Kafka's record batches, one after the other in one file, as they
//! came from the producer but for their offsets (message format 2, KIP-98).
//!
//! A record is acknowledged when the system has its bytes, so it survives a kill of this process.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use bytes::{Buf as _, Bytes};
use tansu_sans_io::ErrorCode;
use tansu_sans_io::record::deflated::Batch;

use super::sequence::Sequence;

/// What precedes the part that a batch's own length counts: its offset and that length.
const PREFIX: usize = 12;
/// A batch without records.
const HEADER: usize = 61;
const MAGIC: i8 = 2;

/// A partition's log, shared by all connections.
#[derive(Debug)]
pub(super) struct Log {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// The file's used length in bytes; what a failed write left behind lies beyond it.
    length: u64,
    batches: Vec<Entry>,
    /// The last sequence number of each idempotent producer.
    sequences: HashMap<i64, Sequence>,
}

/// Where a batch is.
#[derive(Debug)]
struct Entry {
    first_offset: i64,
    /// The offset after its last record.
    next_offset: i64,
    position: u64,
    length: usize,
    max_timestamp: i64,
}

impl Log {
    /// Opens the log in `path`, or creates it. A batch that a killed process left half-written at the
    /// end was never acknowledged and is cut off.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut inner = Inner { file, length: 0, batches: Vec::new(), sequences: HashMap::new() };
        inner.recover().with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// Appends a producer's batch and returns the offset of its first record.
    ///
    /// # Errors
    /// The protocol's code: a duplicate or a gap of an idempotent producer, a batch that is damaged
    /// or of a kind not kept here (transactions), a full disk.
    pub(super) fn append(&self, mut batch: Batch) -> Result<i64, ErrorCode> {
        check(&batch)?;
        let mut inner = self.lock();
        let known = inner.sequences.get(&batch.producer_id).copied();
        let sequence = if batch.is_idempotent() { Some(Sequence::accept(known, &batch)?) } else { None };
        batch.base_offset = inner.next_offset();
        batch.partition_leader_epoch = 0;
        let entry = Entry::at(inner.length, &batch);
        let (producer, first_offset) = (batch.producer_id, entry.first_offset);
        if let Err(error) = inner.file.write_all_at(&Bytes::from(batch), entry.position) {
            tracing::error!(%error, "the Kafka broker cannot write");
            return Err(ErrorCode::KafkaStorageError);
        }
        inner.length += entry.length as u64;
        inner.batches.push(entry);
        inner.sequences.extend(sequence.map(|sequence| (producer, sequence)));
        Ok(first_offset)
    }

    /// The batches from the one that has `offset` on: as many as fit in `max_bytes`, at least one.
    ///
    /// # Errors
    /// The protocol's code, for an offset that never was.
    pub(super) fn read(&self, offset: i64, max_bytes: usize) -> Result<Vec<Batch>, ErrorCode> {
        let inner = self.lock();
        let wanted = inner.wanted(offset, max_bytes)?;
        let Some(first) = wanted.first() else {
            return Ok(Vec::new());
        };
        let mut bytes = vec![0; wanted.iter().map(|entry| entry.length).sum()];
        if let Err(error) = inner.file.read_exact_at(&mut bytes, first.position) {
            tracing::error!(%error, "the Kafka broker cannot read");
            return Err(ErrorCode::KafkaStorageError);
        }
        let mut bytes = Bytes::from(bytes);
        let batches = wanted.iter().map(|entry| Batch::try_from(bytes.split_to(entry.length)));
        batches.collect::<Result<_, _>>().map_err(|_damaged| ErrorCode::CorruptMessage)
    }

    /// How many bytes a read at `offset` has at hand, at most `max_bytes` unless one batch is larger.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub(super) fn available(&self, offset: i64, max_bytes: usize) -> Result<usize, ErrorCode> {
        Ok(self.lock().wanted(offset, max_bytes)?.iter().map(|entry| entry.length).sum())
    }

    /// The offset that the next record gets.
    pub(super) fn next_offset(&self) -> i64 {
        self.lock().next_offset()
    }

    /// The first batch with a record of `timestamp` (milliseconds since 1970) or later: its first
    /// offset and its latest time.
    pub(super) fn at_time(&self, timestamp: i64) -> Option<(i64, i64)> {
        let inner = self.lock();
        let entry = inner.batches.iter().find(|entry| entry.max_timestamp >= timestamp)?;
        Some((entry.first_offset, entry.max_timestamp))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below is complete before anything can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next_offset(&self) -> i64 {
        self.batches.last().map_or(0, |entry| entry.next_offset)
    }

    fn wanted(&self, offset: i64, max_bytes: usize) -> Result<&[Entry], ErrorCode> {
        if !(0..=self.next_offset()).contains(&offset) {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let first = self.batches.partition_point(|entry| entry.next_offset <= offset);
        let rest = &self.batches[first..];
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|entry| {
            bytes += entry.length;
            bytes <= max_bytes
        });
        let count = fitting.count().max(usize::from(!rest.is_empty() && max_bytes > 0));
        Ok(&rest[..count])
    }

    /// Rebuilds what memory knows of the file.
    fn recover(&mut self) -> Result<()> {
        let size = self.file.metadata()?.len();
        let mut reader = BufReader::new(self.file.try_clone()?);
        let mut header = [0; HEADER];
        while self.length + HEADER as u64 <= size {
            reader.read_exact(&mut header)?;
            let batch = read_header(&header);
            let entry = Entry::at(self.length, &batch);
            let whole = batch.base_offset == self.next_offset()
                && batch.magic == MAGIC
                && (HEADER as u64..=size - self.length).contains(&(entry.length as u64));
            if !whole {
                break;
            }
            if batch.is_idempotent() {
                self.sequences.insert(batch.producer_id, Sequence::after(&batch));
            }
            reader.seek_relative(i64::try_from(entry.length - HEADER)?)?;
            self.length += entry.length as u64;
            self.batches.push(entry);
        }
        if self.length < size {
            tracing::warn!(bytes = size - self.length, "the Kafka broker drops an unfinished write");
            self.file.set_len(self.length)?;
        }
        Ok(())
    }
}

impl Entry {
    fn at(position: u64, batch: &Batch) -> Self {
        Self {
            first_offset: batch.base_offset,
            next_offset: batch.base_offset + i64::from(batch.record_count),
            position,
            length: PREFIX + usize::try_from(batch.batch_length).unwrap_or_default(),
            max_timestamp: batch.max_timestamp,
        }
    }
}

/// A batch's bytes in a log.
pub(super) fn size(batch: &Batch) -> usize {
    HEADER + batch.record_data.len()
}

fn check(batch: &Batch) -> Result<(), ErrorCode> {
    if batch.is_transactional() || batch.is_control() {
        return Err(ErrorCode::InvalidRequest);
    }
    let whole = batch.magic == MAGIC
        && batch.record_count > 0
        && u32::try_from(batch.last_offset_delta).is_ok_and(|delta| delta + 1 == batch.record_count)
        && usize::try_from(batch.batch_length).is_ok_and(|length| PREFIX + length == size(batch));
    if whole { Ok(()) } else { Err(ErrorCode::CorruptMessage) }
}

fn read_header(mut header: &[u8]) -> Batch {
    Batch {
        base_offset: header.get_i64(),
        batch_length: header.get_i32(),
        partition_leader_epoch: header.get_i32(),
        magic: header.get_i8(),
        crc: header.get_u32(),
        attributes: header.get_i16(),
        last_offset_delta: header.get_i32(),
        base_timestamp: header.get_i64(),
        max_timestamp: header.get_i64(),
        producer_id: header.get_i64(),
        producer_epoch: header.get_i16(),
        base_sequence: header.get_i32(),
        record_count: header.get_u32(),
        record_data: Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A batch of `count` records of an ordinary producer; its records are opaque here.
    fn batch(count: u32, data: &'static [u8]) -> Batch {
        Batch {
            batch_length: i32::try_from(HEADER - PREFIX + data.len()).unwrap(),
            magic: MAGIC,
            last_offset_delta: i32::try_from(count).unwrap() - 1,
            max_timestamp: 1_000,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: count,
            record_data: Bytes::from_static(data),
            ..Batch::default()
        }
    }

    fn idempotent(sequence: i32, count: u32) -> Batch {
        Batch { producer_id: 7, producer_epoch: 0, base_sequence: sequence, ..batch(count, b"records") }
    }

    fn offsets(batches: &[Batch]) -> Vec<i64> {
        batches.iter().map(|batch| batch.base_offset).collect()
    }

    #[test]
    fn read_inside_a_batch_begins_with_that_batch() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(&dir.path().join("log")).unwrap();
        for count in [3, 1, 5] {
            log.append(batch(count, b"abc")).unwrap();
        }
        assert_eq!(offsets(&log.read(0, 1 << 20).unwrap()), [0, 3, 4]);
        assert_eq!(offsets(&log.read(2, 1 << 20).unwrap()), [0, 3, 4]);
        assert_eq!(offsets(&log.read(6, 1 << 20).unwrap()), [4]);
        assert!(log.read(9, 1 << 20).unwrap().is_empty());
        assert_eq!(log.read(10, 1 << 20), Err(ErrorCode::OffsetOutOfRange));
        assert_eq!(log.read(-1, 1 << 20), Err(ErrorCode::OffsetOutOfRange));
    }

    #[test]
    fn batch_larger_than_the_limit_is_still_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(&dir.path().join("log")).unwrap();
        log.append(batch(1, b"large")).unwrap();
        log.append(batch(1, b"large")).unwrap();
        assert_eq!(offsets(&log.read(0, 1).unwrap()), [0]);
    }

    #[test]
    fn producer_is_deduplicated_across_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = Log::open(&path).unwrap();
        log.append(idempotent(0, 4)).unwrap();
        drop(log);
        let log = Log::open(&path).unwrap();
        assert_eq!(log.append(idempotent(0, 4)), Err(ErrorCode::DuplicateSequenceNumber));
        assert_eq!(log.append(idempotent(6, 1)), Err(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(log.append(idempotent(4, 2)), Ok(4));
        assert_eq!(log.next_offset(), 6);
    }

    #[test]
    fn transactional_and_damaged_batches_are_refused() {
        const TRANSACTIONAL: i16 = 0b1_0000;
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(&dir.path().join("log")).unwrap();
        let transactional = Batch { attributes: TRANSACTIONAL, ..batch(1, b"x") };
        assert_eq!(log.append(transactional), Err(ErrorCode::InvalidRequest));
        let wrong_length = Batch { batch_length: 50, ..batch(1, b"longer") };
        assert_eq!(log.append(wrong_length), Err(ErrorCode::CorruptMessage));
        let wrong_count = Batch { last_offset_delta: 3, ..batch(1, b"x") };
        assert_eq!(log.append(wrong_count), Err(ErrorCode::CorruptMessage));
        assert_eq!(log.next_offset(), 0);
    }

    #[test]
    fn offset_is_found_by_time() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(&dir.path().join("log")).unwrap();
        log.append(Batch { max_timestamp: 10, ..batch(2, b"x") }).unwrap();
        log.append(Batch { max_timestamp: 20, ..batch(2, b"x") }).unwrap();
        assert_eq!(log.at_time(11), Some((2, 20)));
        assert_eq!(log.at_time(21), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Wherever a kill cuts the file, what opens again is a prefix of the acknowledged batches.
        #[test]
        fn cut_file_opens_with_its_whole_batches(counts in prop::collection::vec(1_u32..5, 1..8), cut in 0.0..1.0_f64) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let log = Log::open(&path).unwrap();
            let firsts: Vec<i64> = counts.iter().map(|count| log.append(batch(*count, b"some records")).unwrap()).collect();
            drop(log);
            let size = std::fs::metadata(&path).unwrap().len();
            let each = size / counts.len() as u64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small file")]
            let cut = (size as f64 * cut) as u64;
            OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
            let log = Log::open(&path).unwrap();
            let whole = usize::try_from(cut / each).unwrap();
            prop_assert_eq!(offsets(&log.read(0, 1 << 20).unwrap()), &firsts[..whole]);
            let next = log.next_offset();
            prop_assert_eq!(log.append(batch(1, b"x")), Ok(next));
        }
    }
}
