//! Bytes that the database wrote come in; its numbers, little-endian, come off their front.

pub(crate) fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(taken)
}

pub(crate) fn array<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(taken)
}

pub(crate) fn u8(rest: &mut &[u8]) -> Option<u8> {
    array::<1>(rest).map(|[byte]| *byte)
}

pub(crate) fn u16(rest: &mut &[u8]) -> Option<u16> {
    array(rest).copied().map(u16::from_le_bytes)
}

pub(crate) fn u32(rest: &mut &[u8]) -> Option<u32> {
    array(rest).copied().map(u32::from_le_bytes)
}

pub(crate) fn u64(rest: &mut &[u8]) -> Option<u64> {
    array(rest).copied().map(u64::from_le_bytes)
}

pub(crate) fn u128(rest: &mut &[u8]) -> Option<u128> {
    array(rest).copied().map(u128::from_le_bytes)
}
