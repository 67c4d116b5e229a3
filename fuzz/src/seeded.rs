//! The targets without libFuzzer, on any toolchain: every committed input, then mutations of them that a seed
//! determines. `FREEHOLD_FUZZ_RUNS` sets how many mutations.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`, which must not be 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// A part of something so long.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below((length - start).min(64) + 1)
    }
}

struct Material {
    seeds: Vec<Vec<u8>>,
    tokens: Vec<Vec<u8>>,
}

impl Material {
    fn of(target: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("seeds").join(target);
        let files = fs::read_dir(&folder).expect("the target has seeds");
        let mut paths: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
        paths.sort();
        let seeds: Vec<_> = paths.iter().map(|path| fs::read(path).expect("a readable seed")).collect();
        assert!(!seeds.is_empty(), "no seeds in {}", folder.display());
        let dictionary = fs::read_to_string(root.join("dictionary")).expect("there is a dictionary");
        let tokens: Vec<_> = dictionary.lines().filter_map(token).collect();
        assert!(!tokens.is_empty(), "no tokens in the dictionary");
        Self { seeds, tokens }
    }

    fn input(&self, seed: u64) -> Vec<u8> {
        let random = &mut Random(seed);
        let mut input = random.pick(&self.seeds).clone();
        for _ in 0..=random.below(6) {
            self.mutate(&mut input, random);
        }
        input
    }

    fn mutate(&self, input: &mut Vec<u8>, random: &mut Random) {
        let range = random.range(input.len());
        match random.below(7) {
            0 if !input.is_empty() => {
                let at = random.below(input.len());
                input[at] ^= 1 << random.below(8);
            }
            1 => input.insert(range.start, random.byte()),
            2 => drop(input.drain(range)),
            3 => {
                let twice = input[range.clone()].to_vec();
                input.splice(range.end..range.end, twice);
            }
            4 => {
                let token = random.pick(&self.tokens).clone();
                let replaced = if random.below(2) == 0 { range } else { range.start..range.start };
                input.splice(replaced, token);
            }
            5 => {
                let other = random.pick(&self.seeds);
                let part = other[random.range(other.len())].to_vec();
                input.splice(range, part);
            }
            _ => input.truncate(range.end),
        }
    }
}

/// The token of a dictionary's line: `"..."` with `\\`, `\"` and `\xAB`.
fn token(line: &str) -> Option<Vec<u8>> {
    let quoted = line.split_once('"')?.1.strip_suffix('"')?;
    let mut bytes = Vec::new();
    let mut rest = quoted.as_bytes();
    while let [first, tail @ ..] = rest {
        (bytes, rest) = match (first, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let text = std::str::from_utf8(&digits).ok()?;
                bytes.push(u8::from_str_radix(text, 16).ok()?);
                (bytes, tail)
            }
            (b'\\', [escaped, tail @ ..]) => {
                bytes.push(*escaped);
                (bytes, tail)
            }
            _ => {
                bytes.push(*first);
                (bytes, tail)
            }
        };
    }
    Some(bytes)
}

fn run(input: &[u8], target: fn(&[u8]), name: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        eprintln!("{name} failed on: {}", input.escape_ascii());
        resume_unwind(panic);
    }
}

fn check(name: &str, target: fn(&[u8]), runs: u64) {
    let runs = std::env::var("FREEHOLD_FUZZ_RUNS").map_or(runs, |runs| runs.parse().expect("a number"));
    let material = Material::of(name);
    for seed in &material.seeds {
        run(seed, target, name);
    }
    run(b"", target, name);
    for seed in 0..runs {
        run(&material.input(seed), target, name);
    }
}

#[test]
fn decode() {
    check("decode", crate::decode, 20_000);
}

#[test]
fn http_request() {
    check("http_request", crate::http_request, 5_000);
}

#[test]
fn lock_programs() {
    check("lock_programs", crate::lock_programs, 20_000);
}

#[test]
fn stdio_lines() {
    check("stdio_lines", crate::stdio_lines, 5_000);
}

#[test]
fn tool_arguments() {
    check("tool_arguments", crate::tool_arguments, 5_000);
}
