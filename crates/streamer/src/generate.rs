//! A count of rows and a seed come in; a CSV of made-up orders goes out, the same bytes for the same two.

use std::io::{self, Write};

/// The header of [`generate_csv`].
pub const COLUMNS: &str = "order_id,customer,country,product,quantity,unit_price,ordered_at";

const FIRST: [&str; 8] = [
    "Ada", "Björn", "Chloé", "Dana", "Emre", "Fatima", "Grace", "Hiro",
];
const LAST: [&str; 8] = [
    "Okafor",
    "Lindqvist",
    "Moreau",
    "Novak",
    "Yılmaz",
    "Haddad",
    "Chen",
    "Sato",
];
const COUNTRIES: [&str; 12] = [
    "DE", "FR", "SE", "US", "JP", "TR", "NG", "BR", "IN", "CZ", "LB", "TW",
];
const PRODUCTS: [(&str, u64); 10] = [
    ("desk lamp", 3495),
    ("keyboard", 8900),
    ("standing desk", 41_900),
    ("office chair", 25_950),
    ("notebook A5", 490),
    ("fountain pen", 5999),
    ("\"27\"\" monitor\"", 32_900),
    ("\"cable, USB-C, 2 m\"", 1299),
    ("paper clip", 3),
    ("headset", 12_450),
];

/// Writes a header and `rows` rows; about 1 % of the rows repeat an earlier `order_id`.
///
/// Some fields hold commas, quotes or a line break, quoted as RFC 4180 asks. No field is empty.
///
/// ```
/// let mut csv = Vec::new();
/// streamer::generate::generate_csv(2, 7, &mut csv)?;
/// assert_eq!(csv.split(|b| *b == b'\n').count(), 4);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// `out` failed.
pub fn generate_csv(rows: u64, seed: u64, out: impl Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(64 * 1024, out);
    let mut random = Random(seed);
    writeln!(out, "{COLUMNS}")?;
    let mut orders = 0;
    for _ in 0..rows {
        let order = match orders > 0 && random.below(100) == 0 {
            true => 1 + random.below(orders),
            false => {
                orders += 1;
                orders
            }
        };
        write!(out, "O-{order:08},")?;
        let (first, last) = (random.pick(&FIRST), random.pick(&LAST));
        match random.below(64) {
            0 => write!(out, "\"{last}, {first}\"")?,
            1 => write!(out, "\"{first} \"\"{last}\"\"\"")?,
            2 if random.below(8) == 0 => write!(out, "\"{first}\n{last}\"")?,
            _ => write!(out, "{first} {last}")?,
        }
        let (product, cents) = random.pick(&PRODUCTS);
        let price = cents + random.below(cents / 10 + 1);
        write!(
            out,
            ",{},{product},{},",
            random.pick(&COUNTRIES),
            1 + random.below(9)
        )?;
        write!(
            out,
            "{}.{:02},2026-{:02}-",
            price / 100,
            price % 100,
            1 + random.below(12)
        )?;
        let (day, second) = (1 + random.below(28), random.below(86_400));
        let (hour, minute) = (second / 3600, second / 60 % 60);
        writeln!(out, "{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)?;
    }
    out.flush()
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uneven by less than `n` in 2^64, which no reader of made-up orders sees.
    fn below(&mut self, n: u64) -> u64 {
        self.next().checked_rem(n).unwrap_or(0)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        *from
            .get(index)
            .expect("`below` stays under the table's length, and no table is empty")
    }
}
