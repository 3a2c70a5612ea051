// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Children that run `gst-launch-1.0`.

use std::{
    ffi::OsStr,
    fs,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{PATIENCE, disk::Disk};

/// The lines that a child has printed so far.
#[derive(Debug, Default)]
struct Output {
    state: Mutex<OutputState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct OutputState {
    out: Vec<String>,
    err: Vec<String>,
    open: usize,
}

/// A child; dropped, it is killed by its id and what it said is shown when the test failed.
#[derive(Debug)]
pub(crate) struct Launch {
    child: Child,
    output: Arc<Output>,
    name: String,
}

/// The plugin under test: cargo puts it beside the test's own executable.
pub(crate) fn plugin_file() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    [folder.to_owned(), folder.parent().unwrap().to_owned()]
        .into_iter()
        .map(|folder| folder.join("libgstlivetorrent.so"))
        .find(|file| file.exists())
        .unwrap_or_else(|| panic!("no libgstlivetorrent.so near {}", test.display()))
}

/// A folder with nothing but the plugin in it, so that GStreamer scans no build folder.
fn plugin_folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("plugin");
    fs::create_dir_all(&folder).unwrap();
    let link = folder.join("libgstlivetorrent.so");
    let plugin = plugin_file();
    if fs::read_link(&link).ok().as_ref() != Some(&plugin) {
        // Tests run side by side: replace in one step.
        let fresh = folder.join(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&fresh);
        std::os::unix::fs::symlink(&plugin, &fresh).unwrap();
        fs::rename(&fresh, &link).unwrap();
    }
    folder
}

impl Launch {
    /// Starts `gst-launch-1.0 -m` with a pipeline of words; the plugin and nothing of the user's
    /// settings is what it sees. Its standard input is what [`Self::feed`] gives.
    pub(crate) fn new(pipeline: &[impl AsRef<OsStr>]) -> Self {
        Self::with_debug(pipeline, "")
    }

    /// The same with this `GST_DEBUG`, whose lines are those of standard error.
    pub(crate) fn with_debug(pipeline: &[impl AsRef<OsStr>], debug: &str) -> Self {
        let mut words: Vec<&OsStr> = vec!["-m".as_ref()];
        words.extend(pipeline.iter().map(AsRef::as_ref));
        Self::run("gst-launch-1.0", &words, debug)
    }

    /// The same as [`Self::new`], by a process that trusts this certificate and no other (TLS).
    pub(crate) fn trusting(certificate: &Path, pipeline: &[impl AsRef<OsStr>]) -> Self {
        let mut words: Vec<&OsStr> = vec!["-m".as_ref()];
        words.extend(pipeline.iter().map(AsRef::as_ref));
        let mut command = Command::new("gst-launch-1.0");
        command
            .env("SSL_CERT_FILE", certificate)
            .env_remove("SSL_CERT_DIR");
        Self::start(command, &words, "")
    }

    /// The same as [`Self::new`], by a process that sees this disk.
    pub(crate) fn within(disk: &Disk, pipeline: &[impl AsRef<OsStr>]) -> Self {
        let enter = disk.enter();
        let mut words: Vec<&OsStr> = enter[1..].iter().map(AsRef::as_ref).collect();
        words.extend(["gst-launch-1.0", "-m"].map(OsStr::new));
        words.extend(pipeline.iter().map(AsRef::as_ref));
        Self::run(&enter[0], &words, "")
    }

    /// The same as [`Self::new`], that says all it can of itself: every line of the log, and graphs
    /// of the pipeline in this folder.
    pub(crate) fn talkative(pipeline: &[impl AsRef<OsStr>], graphs: &Path) -> Self {
        let mut words: Vec<&OsStr> = vec!["-m".as_ref()];
        words.extend(pipeline.iter().map(AsRef::as_ref));
        let mut command = Command::new("gst-launch-1.0");
        command.env("GST_DEBUG_DUMP_DOT_DIR", graphs);
        Self::start(command, &words, "*:9")
    }

    /// Starts `gst-play-1.0` on a URI or file, without a window or a sound.
    pub(crate) fn play(uri: impl AsRef<OsStr>) -> Self {
        let words = [
            "--no-interactive",
            "--videosink=fakevideosink",
            "--audiosink=fakeaudiosink",
        ];
        let mut words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
        words.push(uri.as_ref());
        Self::run("gst-play-1.0", &words, "")
    }

    /// Starts the script `pipelines/NAME` in this folder.
    pub(crate) fn script(name: &str, words: &[&str], folder: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("pipelines")
            .join(name);
        let mut command = Command::new(script);
        command
            .current_dir(folder)
            .env("LIVETORRENT_PLUGIN_DIR", plugin_folder());
        let words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
        Self::start(command, &words, "")
    }

    fn run(program: &str, words: &[&OsStr], debug: &str) -> Self {
        Self::start(Command::new(program), words, debug)
    }

    fn start(mut command: Command, words: &[&OsStr], debug: &str) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let mut child = command
            .args(words)
            .env("GST_PLUGIN_PATH", plugin_folder())
            .env("GST_REGISTRY", tmp.join("registry.bin"))
            .env("XDG_CACHE_HOME", tmp.join("cache"))
            .env("G_DEBUG", "fatal-warnings")
            .env("LC_ALL", "C")
            .env("GST_DEBUG", debug)
            .env("GST_DEBUG_NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}; tests/run.sh installs what tests need")
            });
        let output = Arc::new(Output::default());
        output.state.lock().unwrap().open = 2;
        let out = child.stdout.take().unwrap();
        let err = child.stderr.take().unwrap();
        collect(out, Arc::clone(&output), |state, line| state.out.push(line));
        collect(err, Arc::clone(&output), |state, line| state.err.push(line));
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        Self {
            child,
            output,
            name: format!("{program} {}", words.join(" ")),
        }
    }

    /// The child's standard input: closing it is the end of a stream from `fdsrc`.
    pub(crate) fn feed(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("fed once")
    }

    /// Waits for a line on standard output that `wanted` makes something of.
    pub(crate) fn wait_for<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.wait_for_line(what, |state| &state.out, wanted)
    }

    /// Waits for `text` in a line that `GST_DEBUG` writes.
    pub(crate) fn wait_for_debug(&self, text: &str) {
        self.wait_for_line(
            text,
            |state| &state.err,
            |line| line.contains(text).then_some(()),
        );
    }

    fn wait_for_line<T>(
        &self,
        what: &str,
        lines: impl Fn(&OutputState) -> &Vec<String>,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.output.state.lock().unwrap();
        let mut seen = 0;
        loop {
            let all = lines(&state);
            if let Some(found) = all[seen..].iter().find_map(|line| wanted(line)) {
                return found;
            }
            seen = all.len();
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                state.open > 0 && !left.is_zero(),
                "no {what} from {}",
                self.name
            );
            state = self.output.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits for the element message `name`; its text.
    pub(crate) fn wait_for_message(&self, name: &str) -> String {
        self.wait_for(name, |line| line.contains(name).then(|| line.to_owned()))
    }

    /// Waits until the element listens; its port.
    pub(crate) fn port(&self) -> u16 {
        let ready = self.wait_for_message("livetorrent-ready");
        let (_, after) = ready.split_once("port=(").expect("ready tells the port");
        let (_, number) = after.split_once(')').unwrap();
        let digits = number
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(number.len());
        number[..digits].parse().unwrap()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -INT {}", self.child.id())])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the child to end by itself.
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        // Both pipes close when it ends.
        let mut state = self.output.state.lock().unwrap();
        while state.open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "still running: {}", self.name);
            state = self.output.changed.wait_timeout(state, left).unwrap().0;
        }
        drop(state);
        self.child.wait().unwrap()
    }

    /// Lines of standard error that report an error.
    pub(crate) fn errors(&self) -> Vec<String> {
        let state = self.output.state.lock().unwrap();
        state
            .err
            .iter()
            .filter(|line| line.starts_with("ERROR: from element"))
            .cloned()
            .collect()
    }

    /// The lines that `GST_DEBUG` wrote so far.
    pub(crate) fn debug_lines(&self) -> Vec<String> {
        self.output.state.lock().unwrap().err.clone()
    }

    /// All that it said.
    pub(crate) fn said(&self) -> String {
        let state = self.output.state.lock().unwrap();
        format!("{}\n{}", state.out.join("\n"), state.err.join("\n"))
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {}\n{}\n---", self.name, self.said());
        }
    }
}

fn collect(
    pipe: impl Read + Send + 'static,
    output: Arc<Output>,
    add: impl Fn(&mut OutputState, String) + Send + 'static,
) {
    thread::spawn(move || {
        // A line that is written over and over ends with a carriage return.
        let mut line = Vec::new();
        for byte in BufReader::new(pipe).bytes().map_while(Result::ok) {
            if byte != b'\n' && byte != b'\r' {
                line.push(byte);
                continue;
            }
            let whole = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            add(&mut output.state.lock().unwrap(), whole);
            output.changed.notify_all();
        }
        output.state.lock().unwrap().open -= 1;
        output.changed.notify_all();
    });
}

/// How long `action` takes.
pub(crate) fn timed(action: impl FnOnce()) -> Duration {
    let start = Instant::now();
    action();
    start.elapsed()
}
