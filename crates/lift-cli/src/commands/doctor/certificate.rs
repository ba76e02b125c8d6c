//! A PEM file comes in; how long its first certificate is still good goes out.

use std::path::Path;

use super::Finding;
use crate::{
    failure::chain,
    output::{moment, spoken},
};

const CHECK: &str = "certificate";

/// Days before the end at which it is time to renew.
const RENEW_DAYS: u64 = 14;

/// Tags of DER (ITU-T X.690 §8) that stand before the times.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

pub(super) fn finding(file: &Path, now_ms: u64) -> Finding {
    let help = "--tls-cert names the chain as PEM, the server's own certificate first";
    let read = std::fs::read(file)
        .map_err(|error| chain(&error))
        .and_then(|text| {
            let first = pem::parse(text).map_err(|error| chain(&error))?;
            let times = validity(first.contents()).filter(|_| first.tag() == "CERTIFICATE");
            times.ok_or_else(|| "its first block is no certificate".to_owned())
        });
    match read {
        Err(cause) => Finding::failed(CHECK, format!("`{}`: {cause}", file.display()), help),
        Ok(times) => judged(times, now_ms),
    }
}

fn judged((from_ms, to_ms): (u64, u64), now_ms: u64) -> Finding {
    let renew = "renew it; the server reads it again within 60 s, or on SIGHUP";
    let left_s = to_ms.saturating_sub(now_ms) / 1000;
    if now_ms < from_ms {
        let found = format!("not good before {}", moment(from_ms));
        Finding::failed(
            CHECK,
            found,
            "set the clock, or take the certificate of before",
        )
    } else if now_ms > to_ms {
        Finding::failed(CHECK, format!("expired at {}", moment(to_ms)), renew)
    } else if left_s < RENEW_DAYS * 86_400 {
        let found = format!("good until {}, {} more", moment(to_ms), spoken(left_s));
        Finding::warning(CHECK, found, renew)
    } else {
        Finding::ok(CHECK, format!("good until {}", moment(to_ms)))
    }
}

/// The times of a certificate in milliseconds since 1970 (RFC 5280 §4.1): the first and the last.
fn validity(der: &[u8]) -> Option<(u64, u64)> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (signed, _) = expect(certificate, SEQUENCE)?;
    let rest = expect(signed, VERSION).map_or(signed, |(_, rest)| rest);
    // Serial number, algorithm and issuer stand before.
    let mut rest = rest;
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (validity, _) = expect(rest, SEQUENCE)?;
    let (tag, first, rest) = element(validity)?;
    let from = time(tag, first)?;
    let (tag, last, _) = element(rest)?;
    Some((from, time(tag, last)?))
}

fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// The tag and content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], mut rest) = der.split_first_chunk::<2>()?;
    let mut length = usize::from(short & 0x7f);
    if short & 0x80 != 0 {
        let (bytes, after) = rest.split_at_checked(length)?;
        length = bytes.iter().try_fold(0_usize, |all, byte| {
            all.checked_mul(256)?.checked_add(usize::from(*byte))
        })?;
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, or with four digits of a year (RFC 5280 §4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        UTC_TIME if text < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    let time = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    u64::try_from(time.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000001Z", Some(1_000)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999_000)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000_000)),
            (UTC_TIME, "7001010000Z", None),
            (SEQUENCE, "700101000001Z", None),
        ] {
            assert_eq!(time(tag, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_times() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 0x80],
            &[0x30, 0xff, 0xff],
            &[0x30, 2, 0x30, 0],
        ] {
            assert_eq!(validity(der), None, "{der:?}");
        }
    }
}
