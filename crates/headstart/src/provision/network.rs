//! The only module that touches the network: downloads, checked by SHA-256.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::error::ProvisionError;
use crate::error::{Error, io as io_error};
use crate::event::{Event, Events};
use crate::files::hex;

/// Most bytes of a download whose length nobody knows: no model of the registry is near this, and a server
/// gone wrong must not fill the disk.
const MAX_BYTES: u64 = 4 << 30;

/// Downloads to `path` unless a file with this hash is there; a download that was cut off is resumed.
///
/// The bytes go to `<path>.part` and are renamed into place once the hash fits.
pub(crate) fn download(
    url: &str,
    path: &Path,
    sha256: &str,
    bytes: Option<u64>,
    events: &mut Events<'_>,
) -> Result<(), Error> {
    let is_there = || Ok::<_, Error>(path.exists() && hash_of(path)? == sha256);
    if is_there()? {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    }
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        name
    };
    let (part, lock_path) = (beside(".part"), beside(".lock"));
    let (part, lock_path) = (Path::new(&part), Path::new(&lock_path));
    // Another process may be at it: wait, and take what it got.
    let lock = File::options().create(true).truncate(false).write(true).open(lock_path);
    let lock = lock.map_err(io_error("write", lock_path))?;
    lock.lock().map_err(io_error("lock", path))?;
    if is_there()? {
        return Ok(());
    }
    let fetched = fetch(url, part, bytes, events);
    events(Event::Download {
        url: url.to_owned(),
        n_bytes: part.metadata().map_or(0, |it| it.len()),
        n_total: bytes,
        is_over: true,
    });
    fetched.map_err(|source| ProvisionError::Download { url: url.to_owned(), source })?;
    let found = hash_of(part)?;
    if found != sha256 {
        fs::remove_file(part).ok();
        return Err(
            ProvisionError::DownloadHash { url: url.to_owned(), found, expected: sha256.to_owned() }.into()
        );
    }
    fs::rename(part, path).map_err(io_error("write", path))
}

fn fetch(
    url: &str,
    part: &Path,
    bytes: Option<u64>,
    events: &mut Events<'_>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let have = part.metadata().map_or(0, |it| it.len());
    if bytes.is_some_and(|it| have >= it) {
        return Ok(()); // All there: the hash decides.
    }
    let mut request = agent().get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request.call()?;
    // A server that does not know ranges sends everything again, with 200.
    let resumed = response.status().as_u16() == 206;
    let mut n_bytes = if resumed { have } else { 0 };
    let mut file =
        OpenOptions::new().create(true).write(true).truncate(!resumed).append(resumed).open(part)?;
    let limit = bytes.map_or(MAX_BYTES, |it| it.saturating_sub(n_bytes) + 1);
    let mut body = response.body_mut().as_reader().take(limit);
    let mut buffer = vec![0; 1 << 16];
    loop {
        events(Event::Download { url: url.to_owned(), n_bytes, n_total: bytes, is_over: false });
        match body.read(&mut buffer)? {
            0 => break,
            n => {
                file.write_all(&buffer[..n])?;
                n_bytes += n as u64;
            }
        }
    }
    Ok(file.sync_all()?)
}

/// A server that says nothing for this long is given up; a slow one may take its time.
fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_resolve(Some(Duration::from_secs(20)))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build()
        .into()
}

/// SHA-256 of a file, hexadecimal.
pub(crate) fn hash_of(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(io_error("read", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(io_error("read", path))? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Serves `body` under any path, ranges where `ranges`; returns its address and the `Range` headers
    /// of the requests that come.
    fn serve(body: Vec<u8>, ranges: bool) -> (String, Arc<Mutex<Vec<Option<String>>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/model.onnx", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let lines = BufReader::new(&stream).lines().map(|it| it.expect("text"));
                let head: Vec<String> = lines.take_while(|it| !it.is_empty()).collect();
                let range =
                    head.iter().find_map(|it| it.to_lowercase().strip_prefix("range: ").map(str::to_owned));
                let start = range
                    .as_ref()
                    .filter(|_| ranges)
                    .and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
                requests.lock().expect("not poisoned").push(range);
                let (status, rest) = match start {
                    Some(start) => ("206 Partial Content", &body[start.min(body.len())..]),
                    None => ("200 OK", &body[..]),
                };
                let length = rest.len();
                let head =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                drop(stream.write_all(&[head.as_bytes(), rest].concat()));
            }
        });
        (url, seen)
    }

    fn sha256(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }

    #[test]
    fn a_download_is_checked_resumed_and_done_once() {
        let body: Vec<u8> = (0..200_000_u32).map(|it| it.to_le_bytes()[0]).collect();
        let folder = tempfile::tempdir().expect("a folder");
        for ranges in [true, false] {
            let (url, requests) = serve(body.clone(), ranges);
            let path = folder.path().join(format!("{ranges}/model.onnx"));
            let part = path.with_extension("onnx.part");
            // The first half came in an earlier run.
            fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
            fs::write(&part, &body[..100_000]).expect("written");
            let get = || download(&url, &path, &sha256(&body), Some(body.len() as u64), &mut |_| ());
            get().expect("it is resumed");
            assert!(fs::read(&path).expect("it is there") == body && !part.exists());
            get().expect("it is there already");
            assert_eq!(*requests.lock().expect("not poisoned"), [Some("bytes=100000-".to_owned())]);
        }
    }

    #[test]
    fn bytes_that_are_not_the_ones_expected_are_thrown_away() {
        let (url, _) = serve(b"<html>not here</html>".to_vec(), true);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.onnx");
        for bytes in [None, Some(3), Some(1000)] {
            let err = download(&url, &path, &sha256(b"model"), bytes, &mut |_| ())
                .expect_err("another hash")
                .to_string();
            assert!(err.contains("expected") && err.contains("was thrown away"), "{err}");
            assert!(!path.exists() && !path.with_extension("onnx.part").exists());
        }
        let gone = download("http://127.0.0.1:9/model.onnx", &path, &sha256(b"model"), None, &mut |_| ());
        assert!(
            gone.expect_err("nobody listens").to_string().starts_with("cannot download http://127.0.0.1:9/")
        );
    }
}
