//! Drives a target: seeded mutations of a corpus, with inputs that made the target do something new kept for more.
//!
//! Runs on stable Rust. A short run takes the same inputs every time; `SOLOIST_FUZZ=long` takes as many as the target asks
//! for and goes on where an interrupted run stopped. A finding is a panic anywhere (also one the engine contained), an
//! input that takes too long, or memory that grows; its bytes are kept and belong into `corpus/<target>/` once mended.

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};
use std::{env, fs};

/// Inputs between two notes of progress.
const CHUNK: u64 = 20_000;
/// Inputs between two looks at memory.
const MEMORY_EVERY: u64 = 16;
const POOL_MAX: usize = 4_096;
/// What one input may grow the process by on average would be nothing; a whole run may by this.
const MEMORY_KB_MAX: u64 = 512 * 1_024;
/// What any input may take, a whole handshake included.
const INPUT_TIME_MIN: Duration = Duration::from_millis(400);
/// What each byte of it may take besides; an unoptimised build needs 3 us for the dearest offers.
const BYTE_TIME: Duration = Duration::from_micros(25);
/// An input that is slow so many times in a row is slow itself; a machine that stands still does not repeat it.
const SLOW_TIMES_MAX: u32 = 5;
const INPUT_BYTES_MAX: usize = 16_384;

/// What is fuzzed: bytes in, a number out that differs where the target behaved differently.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]) -> u64,
    pub seeds: Vec<Vec<u8>>,
    /// Words of the format, inserted whole.
    pub words: &'static [&'static [u8]],
    pub short: u64,
    pub long: u64,
}

/// What the thread is at: nothing of ours, an input without a panic so far, or with one, whoever caught it.
enum Watch {
    Off,
    On,
    Panicked(String),
}

thread_local! {
    static WATCH: RefCell<Watch> = const { RefCell::new(Watch::Off) };
}

/// xorshift64*, the same everywhere.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}

/// Run a target to its number of inputs.
///
/// # Panics
/// On a finding; the message names the file its input was written to.
pub fn drive(target: &Target) {
    let is_long = env::var("SOLOIST_FUZZ").is_ok_and(|mode| mode == "long");
    let seed = env::var("SOLOIST_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let goal = if is_long { target.long } else { target.short };
    note_panics();
    let mut run = Run::new(target, seed, is_long);
    run.replay_seeds();
    while run.done < goal {
        run.chunk(CHUNK.min(goal - run.done));
    }
}

struct Run<'a> {
    target: &'a Target,
    seed: u64,
    is_long: bool,
    pool: Vec<Vec<u8>>,
    seen: HashSet<u64>,
    done: u64,
    seconds: f64,
    memory_kb: u64,
}

impl<'a> Run<'a> {
    fn new(target: &'a Target, seed: u64, is_long: bool) -> Self {
        let mut pool = target.seeds.clone();
        pool.extend(corpus(target.name));
        assert!(!pool.is_empty(), "{}: no corpus", target.name);
        let (done, seconds) = if is_long { progress(target.name, seed) } else { (0, 0.0) };
        Self { target, seed, is_long, pool, seen: HashSet::new(), done, seconds, memory_kb: resident_kb() }
    }

    /// The corpus itself, unchanged: yesterday's findings stay mended.
    fn replay_seeds(&mut self) {
        for input in self.pool.clone() {
            let behaviour = self.judge(&input);
            self.seen.insert(behaviour);
        }
    }

    fn chunk(&mut self, count: u64) {
        let mut random = Random::new(self.seed.wrapping_add(self.done.wrapping_mul(31)));
        let began = Instant::now();
        for number in 0..count {
            let input = mutated(&mut random, &self.pool, self.target.words);
            let behaviour = self.judge(&input);
            if number % MEMORY_EVERY == 0 {
                self.check_memory(&input);
            }
            if self.seen.insert(behaviour) && self.pool.len() < POOL_MAX {
                self.pool.push(input);
            }
        }
        self.done += count;
        self.seconds += began.elapsed().as_secs_f64();
        if self.is_long {
            self.note_progress();
        }
    }

    /// Tell memory growth at once, while the input that made it, or one close to it, is at hand.
    fn check_memory(&self, input: &[u8]) {
        let grown = resident_kb().saturating_sub(self.memory_kb);
        if grown > MEMORY_KB_MAX {
            self.found(input, &format!("memory grew by {grown} kB"));
        }
    }

    fn judge(&self, input: &[u8]) -> u64 {
        let time_max = INPUT_TIME_MIN + BYTE_TIME * u32::try_from(input.len()).unwrap_or(u32::MAX);
        let (mut behaviour, mut took) = self.judge_once(input);
        for _ in 1..SLOW_TIMES_MAX {
            if took <= time_max {
                return behaviour;
            }
            (behaviour, took) = self.judge_once(input);
        }
        if took > time_max {
            self.found(input, &format!("one input of {} bytes took {} ms", input.len(), took.as_millis()));
        }
        behaviour
    }

    fn judge_once(&self, input: &[u8]) -> (u64, Duration) {
        let began = Instant::now();
        WATCH.set(Watch::On);
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        if let Watch::Panicked(what) = WATCH.replace(Watch::Off) {
            self.found(input, &what);
        }
        (outcome.unwrap_or(0), began.elapsed())
    }

    fn found(&self, input: &[u8], what: &str) -> ! {
        let folder = results().join("findings");
        let name = input
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        let path = folder.join(format!("{}-{name:016x}.bin", self.target.name));
        fs::create_dir_all(&folder).ok();
        fs::write(&path, input).ok();
        #[allow(clippy::panic, reason = "a finding fails the test")]
        {
            panic!("{}: {what}; seed {}, input in {}", self.target.name, self.seed, path.display());
        }
    }

    fn note_progress(&self) {
        let path = progress_path(self.target.name, self.seed);
        fs::create_dir_all(results()).ok();
        let text = format!(
            "{{\"target\": \"rust/{}\", \"seed\": {}, \"inputs\": {}, \"seconds\": {:.1}, \"behaviours\": {}}}\n",
            self.target.name,
            self.seed,
            self.done,
            self.seconds,
            self.seen.len()
        );
        fs::write(path, text).ok();
    }
}

/// Change an input in one to eight places.
fn mutated(random: &mut Random, pool: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut input = pool[random.below(pool.len())].clone();
    for _ in 0..=random.below(8) {
        change(random, &mut input, pool, words);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&[u8]]) {
    const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x0a, 0x20];
    let at = random.below(input.len() + 1);
    let length = 1 << random.below(9);
    let span = at..(at + 1 + random.below(length)).min(input.len());
    match random.below(10) {
        0 | 1 if at < input.len() => input[at] ^= 1 << random.below(8),
        2 if at < input.len() => input[at] = TELLING[random.below(TELLING.len())],
        3 if at < input.len() => input[at] = random.byte(),
        4 if span.start < span.end => drop(input.drain(span)),
        5 if span.start < span.end => {
            let copy = input[span.clone()].to_vec();
            input.splice(span.start..span.start, copy);
        }
        6 => {
            let other = &pool[random.below(pool.len())];
            let from = random.below(other.len() + 1);
            let until = (from + 1 + random.below(256)).min(other.len());
            let piece = other[from.min(until)..until].to_vec();
            input.splice(at..at, piece);
        }
        7 if !words.is_empty() => {
            let word = words[random.below(words.len())];
            let until = (at + if random.below(2) == 0 { word.len() } else { 0 }).min(input.len());
            input.splice(at..until, word.iter().copied());
        }
        8 => {
            let number = [0_u32, 1, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff][random.below(8)];
            for (place, byte) in input.iter_mut().skip(at).zip(number.to_be_bytes().into_iter().skip(random.below(4))) {
                *place = byte;
            }
        }
        9 if random.below(4) == 0 => input.truncate(at),
        _ => input.insert(at, random.byte()),
    }
}

/// Note panics of watched inputs, also those the engine contains; all others are told as usual.
fn note_panics() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            if WATCH.with_borrow(|watch| matches!(watch, Watch::Off)) {
                usual(info);
                return;
            }
            let place = info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
            let payload = info.payload();
            let words = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref().map(String::as_str));
            let words = words.unwrap_or("a panic");
            WATCH.set(Watch::Panicked(format!("{words}{place}")));
        }));
    });
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/fuzz")
}

fn progress_path(name: &str, seed: u64) -> PathBuf {
    results().join(format!("rust-{name}-{seed}.json"))
}

/// Return the inputs and seconds an earlier run of this target and seed got to.
fn progress(name: &str, seed: u64) -> (u64, f64) {
    let text = fs::read_to_string(progress_path(name, seed)).unwrap_or_default();
    let number = |key: &str| -> Option<f64> {
        let rest = text.split_once(&format!("\"{key}\": "))?.1;
        rest.split([',', '}']).next()?.trim().parse().ok()
    };
    let inputs = number("inputs").unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "our own count, far below 2^53")]
    let inputs = inputs as u64;
    (inputs, number("seconds").unwrap_or(0.0))
}

/// Return the memory this process holds. Spec: proc(5), statm in pages of 4 kB.
fn resident_kb() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4
}
