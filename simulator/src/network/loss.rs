//! What packet loss leaves of a connection's rate.
//!
//! A connection that loses one packet in 1/p keeps an average window that depends on p
//! alone: of W packets for Reno, W = √(3/2) / √p (Mathis, Semke, Mahdavi and Ott, "The
//! macroscopic behavior of the TCP congestion avoidance algorithm", 1997), and for CUBIC
//! W = 1.054 · (RTT / p)^¾ with the constants of RFC 9438 (section 5.1, C = 0.4 and
//! β = 0.7; RTT in seconds). CUBIC, which Linux and quinn use, falls back on Reno's where
//! that is larger (section 4.3). The rate is W packets a round trip.

/// Bytes of a full packet's payload.
const PACKET_BYTES: u128 = 1_460;
/// Millionths.
const MILLION: u128 = 1_000_000;

/// The most that one connection carries (0: no limit): `loss_ppm` of its packets are lost.
pub(super) fn limit_bytes_per_sec(round_trip_us: u64, loss_ppm: u32) -> u64 {
    if loss_ppm == 0 {
        return 0;
    }
    let (round_trip_us, loss) = (u128::from(round_trip_us.max(1)), u128::from(loss_ppm));
    // windows in thousandths of a packet: √1.5 · 1000 / √(loss / 10⁶)
    let reno = (1_500_000 * MILLION / loss).isqrt();
    // (RTT / p)^¾ = √(x · √x) with x = round_trip_us / loss_ppm, here times 10¹²
    let ratio = round_trip_us * MILLION * MILLION / loss;
    let root = ratio.isqrt();
    // x√x · 10¹⁸, whose root is x^¾ · 10⁹
    let cubic = (ratio * root).isqrt() * 1_054 / (MILLION * 1_000);
    let window = reno.max(cubic).max(1_000);
    let rate = window * PACKET_BYTES * MILLION / (1_000 * round_trip_us);
    u64::try_from(rate).unwrap_or(u64::MAX).max(1)
}

/// What so many bytes weigh on a link that loses some of them: what is lost is sent again.
pub(super) fn sent_bytes(bytes: u64, loss_ppm: u32) -> u64 {
    let kept = 1_000_000 - u64::from(loss_ppm.min(999_999));
    (bytes * 1_000_000).div_ceil(kept)
}

/// Loss of two links in a row.
pub(super) fn joint_ppm(first_ppm: u32, second_ppm: u32) -> u32 {
    let (first, second) = (u64::from(first_ppm), u64::from(second_ppm));
    let both = first + second - first * second / 1_000_000;
    both.min(999_999) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_formulas() {
        // 1 % over 100 ms: Reno's √1.5 / 0.1 = 12.2 packets, CUBIC's 1.054 · 10^¾ = 5.9
        let rate = limit_bytes_per_sec(100_000, 10_000);
        assert!((178_000..=179_000).contains(&rate), "{rate}");
        // 0.01 % over 100 ms: Reno's 122 packets, CUBIC's 1.054 · 1000^¾ = 187
        let rate = limit_bytes_per_sec(100_000, 100);
        assert!((2_720_000..=2_750_000).contains(&rate), "{rate}");
        assert_eq!(limit_bytes_per_sec(100_000, 0), 0);
    }

    #[test]
    fn what_is_lost_is_sent_again() {
        assert_eq!(sent_bytes(1_000, 0), 1_000);
        assert_eq!(sent_bytes(1_000, 500_000), 2_000);
        assert_eq!(joint_ppm(500_000, 500_000), 750_000);
    }
}
