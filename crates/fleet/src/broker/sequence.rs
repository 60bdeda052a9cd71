//! Idempotent producers: each numbers its records per partition, so that a batch sent again after a
//! lost answer is recognised (KIP-98).

use tansu_sans_io::ErrorCode;
use tansu_sans_io::record::deflated::Batch;

/// Where a producer stands in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    epoch: i16,
    /// The number of its next record; after the largest number comes 0.
    next: i32,
}

impl Sequence {
    /// Where a producer stands after `batch`.
    pub(super) fn after(batch: &Batch) -> Self {
        let next = (i64::from(batch.base_sequence) + i64::from(batch.record_count)) & i64::from(i32::MAX);
        Self { epoch: batch.producer_epoch, next: i32::try_from(next).unwrap_or_default() }
    }

    /// Checks that `batch` is the next of a producer that is `known` here or new.
    ///
    /// # Errors
    /// The protocol's code for a batch that is here already, one too early, or one of a producer that
    /// a newer one has replaced.
    pub(super) fn accept(known: Option<Self>, batch: &Batch) -> Result<Self, ErrorCode> {
        let expected = match known {
            Some(known) if batch.producer_epoch < known.epoch => return Err(ErrorCode::InvalidProducerEpoch),
            Some(known) if batch.producer_epoch == known.epoch => known.next,
            Some(_) | None => 0,
        };
        if batch.base_sequence == expected {
            return Ok(Self::after(batch));
        }
        // Numbers go round: the nearer half of the circle lies behind, the other ahead.
        let behind = (i64::from(expected) - i64::from(batch.base_sequence)) & i64::from(i32::MAX);
        if behind <= i64::from(i32::MAX / 2) {
            Err(ErrorCode::DuplicateSequenceNumber)
        } else {
            Err(ErrorCode::OutOfOrderSequenceNumber)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, sequence: i32, count: u32) -> Batch {
        Batch {
            producer_id: 1,
            producer_epoch: epoch,
            base_sequence: sequence,
            record_count: count,
            ..Batch::default()
        }
    }

    #[test]
    fn batches_in_sequence_are_accepted_and_others_named() {
        let first = Sequence::accept(None, &batch(0, 0, 10)).unwrap();
        let second = Sequence::accept(Some(first), &batch(0, 10, 5)).unwrap();
        assert_eq!(Sequence::accept(Some(second), &batch(0, 10, 5)), Err(ErrorCode::DuplicateSequenceNumber));
        assert_eq!(Sequence::accept(Some(second), &batch(0, 16, 1)), Err(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(Sequence::accept(None, &batch(0, 3, 1)), Err(ErrorCode::OutOfOrderSequenceNumber));
    }

    #[test]
    fn newer_epoch_starts_over_and_fences_the_older() {
        let known = Sequence::accept(None, &batch(1, 0, 10)).unwrap();
        let newer = Sequence::accept(Some(known), &batch(2, 0, 1)).unwrap();
        assert_eq!(Sequence::accept(Some(newer), &batch(1, 10, 1)), Err(ErrorCode::InvalidProducerEpoch));
    }

    #[test]
    fn numbers_go_round_after_the_largest() {
        let known = Sequence { epoch: 0, next: i32::MAX };
        let next = Sequence::accept(Some(known), &batch(0, i32::MAX, 1)).unwrap();
        assert_eq!(next.next, 0);
        assert_eq!(Sequence::accept(Some(next), &batch(0, i32::MAX, 1)), Err(ErrorCode::DuplicateSequenceNumber));
    }
}
