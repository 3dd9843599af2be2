//! New RSA keys, as kubeadm makes them: with two primes of 1024 bits. What signs and verifies is elsewhere; it checks the
//! key again. Source: FIPS 186-5, appendix A.1.3 and B.3; RFC 8017, appendix A.1.2.

use num_bigint::BigUint;
use ring::rand::{SecureRandom, SystemRandom};

/// The bytes of a prime.
const PRIME_BYTES: usize = 128;
const EXPONENT: u32 = 65_537;
/// How often a candidate is tested: more than FIPS 186-5 wants for an error below 2 to the power of -100.
const ROUNDS: usize = 8;
/// Candidates with divisors below are sorted out at once; that spares six of seven tests.
const SMALL: u32 = 2_000;

/// A new private key, as the DER of PKCS #1; `None` if the system has no randomness. Takes some tenths of a second.
pub(super) fn generate() -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    let (a, b) = (prime(&random)?, prime(&random)?);
    let (p, q) = if a > b { (a, b) } else { (b, a) };
    let one = BigUint::from(1u32);
    let (p1, q1) = (&p - &one, &q - &one);
    // The primes were chosen so that the exponent has an inverse; two that are equal would be a miracle.
    let d = BigUint::from(EXPONENT).modinv(&(&p1 * &q1))?;
    let inverse = q.modinv(&p)?;
    let (dp, dq) = (&d % &p1, &d % &q1);
    let numbers = [&BigUint::ZERO, &(&p * &q), &BigUint::from(EXPONENT), &d, &p, &q, &dp, &dq, &inverse];
    let integers: Vec<u8> = numbers.into_iter().flat_map(integer).collect();
    Some(der(0x30, &integers))
}

fn prime(random: &SystemRandom) -> Option<BigUint> {
    let divisors: Vec<u32> =
        (3..SMALL).step_by(2).filter(|n| (3..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)).collect();
    loop {
        let mut bytes = [0; PRIME_BYTES];
        random.fill(&mut bytes).ok()?;
        // The two highest bits make the product of two as long as can be.
        bytes[0] |= 0xc0;
        bytes[PRIME_BYTES - 1] |= 1;
        let candidate = BigUint::from_bytes_be(&bytes);
        let divided = divisors.iter().any(|divisor| &candidate % *divisor == BigUint::ZERO);
        let fits = &candidate % EXPONENT != BigUint::from(1u32);
        if !divided && fits && is_prime(&candidate, random)? {
            return Some(candidate);
        }
    }
}

/// The test of Miller and Rabin. `candidate` is odd.
fn is_prime(candidate: &BigUint, random: &SystemRandom) -> Option<bool> {
    let (one, two) = (BigUint::from(1u32), BigUint::from(2u32));
    let last = candidate - &one;
    let twos = last.trailing_zeros().unwrap_or_default();
    let odd = &last >> twos;
    for _ in 0..ROUNDS {
        let mut bytes = [0; PRIME_BYTES];
        random.fill(&mut bytes).ok()?;
        let base = BigUint::from_bytes_be(&bytes) % (candidate - 3u32) + &two;
        let mut power = base.modpow(&odd, candidate);
        let mut left = twos;
        while left > 1 && power != one && power != last {
            power = power.modpow(&two, candidate);
            left -= 1;
        }
        let witness = if left == twos { power != one && power != last } else { power != last };
        if witness {
            return Some(false);
        }
    }
    Some(true)
}

fn integer(number: &BigUint) -> Vec<u8> {
    let mut bytes = number.to_bytes_be();
    if bytes[0] >= 0x80 {
        bytes.insert(0, 0);
    }
    der(0x02, &bytes)
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut encoded = vec![tag];
    match u8::try_from(length) {
        Ok(short @ ..0x80) => encoded.push(short),
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            encoded.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
            encoded.extend(bytes);
        }
    }
    encoded.extend(content);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_told_from_others() {
        let random = SystemRandom::new();
        let check = |text: &str, expect| {
            let number: BigUint = text.parse().unwrap();
            assert_eq!(is_prime(&number, &random), Some(expect), "{text}");
        };
        // Two to the powers of 61, 89 and 127, less one; numbers of Carmichael; a product of two primes.
        for prime in ["2305843009213693951", "618970019642690137449562111", "170141183460469231731687303715884105727"] {
            check(prime, true);
        }
        for composite in ["561", "1729", "6601", "8911", "2305843009213693953", "10403"] {
            check(composite, false);
        }
    }
}
