//! Documents and media that lie in a folder of this machine (`web.files`).

use super::media::Shelf;
use crate::web::{Content, DOCUMENT_BYTES_MAX, Fault, Page, Reason, Want};
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    pub fn new(folder: PathBuf) -> Files {
        Files { folder }
    }

    /// A file by its path in the folder, which it may not leave: documents of others may name it.
    pub async fn page(&self, url: &str, want: Want, shelf: &Shelf) -> Result<Page, Fault> {
        let (folder, name) = (self.folder.clone(), url.to_owned());
        let found = tokio::task::spawn_blocking(move || locate(&folder, &name).map_err(|why| (name, why))).await;
        let found = found.map_err(|e| Fault::new(Reason::Internal, url, e.to_string()))?;
        let path = found.map_err(|(name, why)| Fault::new(Reason::Retrieval, name, why))?;
        if want == Want::Media {
            let content = Content::File(shelf.of_file(&path, url).await?);
            return Ok(Page {
                url: url.into(),
                status: 200,
                content_type: "audio/wav".into(),
                content,
                fell_back: None,
            });
        }
        let read = path.clone();
        let body = tokio::task::spawn_blocking(move || document(&read)).await;
        let body = body.map_err(|e| Fault::new(Reason::Internal, url, e.to_string()))?;
        let body = body.map_err(|(reason, why)| Fault::new(reason, url, why))?;
        let is_text = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"));
        let content_type = if is_text { "text/plain" } else { "text/xml" }.to_owned();
        Ok(Page { url: url.into(), status: 200, content_type, content: Content::Body(body.into()), fell_back: None })
    }
}

fn locate(folder: &Path, url: &str) -> Result<PathBuf, String> {
    let name = url.split(['?', '#']).next().unwrap_or_default();
    let name = match name.get(..5) {
        Some(scheme) if scheme.eq_ignore_ascii_case("file:") => name[5..].strip_prefix("//").unwrap_or(&name[5..]),
        _ => name,
    };
    let folder = folder.canonicalize().map_err(|e| format!("the folder web.files cannot be read: {e}"))?;
    let path = folder.join(name).canonicalize().map_err(|e| format!("the file cannot be read: {e}"))?;
    if path.starts_with(&folder) { Ok(path) } else { Err("the file does not lie in the folder web.files".to_owned()) }
}

fn document(path: &Path) -> Result<Vec<u8>, (Reason, String)> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        std::fs::File::open(path)?.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut body)?;
        Ok(body)
    };
    let body = read().map_err(|e| (Reason::Retrieval, format!("the file cannot be read: {e}")))?;
    let too_large = || (Reason::TooLarge, format!("the file is longer than {} kB", DOCUMENT_BYTES_MAX / 1024));
    if body.len() > DOCUMENT_BYTES_MAX { Err(too_large()) } else { Ok(body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_the_folder_and_nowhere_else() {
        let folder = std::env::temp_dir().join(format!("tandem-files-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        for name in ["menu.xml", "sub/sales.xml"] {
            std::fs::write(folder.join(name), "<Response/>").unwrap();
        }
        std::fs::write(folder.join("large.xml"), vec![b' '; DOCUMENT_BYTES_MAX + 1]).unwrap();
        let absolute = format!("file://{}/menu.xml", folder.canonicalize().unwrap().display());
        for name in ["menu.xml", "file:menu.xml", "sub/../menu.xml?x=1", "sub/sales.xml#rc=1", &absolute] {
            assert!(locate(&folder, name).is_ok_and(|p| document(&p).is_ok()), "{name}");
        }
        for name in ["none.xml", "../../etc/passwd", "/etc/passwd", "file:///etc/passwd"] {
            assert!(locate(&folder, name).is_err(), "{name}");
        }
        assert_eq!(document(&folder.join("large.xml")).map_err(|(r, _)| r), Err(Reason::TooLarge));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
