//! Tables for people: columns as wide as their widest cell.

/// Lays rows out below a header. Without rows: the sentence `none`.
pub fn table(header: &[&str], rows: &[Vec<String>], none: &str) -> String {
    if rows.is_empty() {
        return format!("{none}\n");
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count());
        cells.chain(header.get(column).map(|h| h.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let head = line(&mut header.iter().copied());
    let body = rows.iter().map(|row| line(&mut row.iter().map(String::as_str)));
    std::iter::once(head).chain(body).collect()
}

/// Microseconds as people read durations: `850ms`, `12.3s`, `4m07s`, `1h02m`.
pub fn duration(us: u64) -> String {
    let s = us / 1_000_000;
    match s {
        0 => format!("{}ms", us / 1_000),
        1..60 => format!("{}.{}s", s, us / 100_000 % 10),
        60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
    }
}

/// `2026-11-22T16:15:00.123Z` without its fraction.
pub fn moment(rfc3339: &str) -> String {
    rfc3339.split('.').next().unwrap_or(rfc3339).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_an_empty_table_says_so() {
        let rows = [vec!["a".into(), "long cell".into(), "x".into()], vec!["bé".into(), String::new(), "y".into()]];
        assert_eq!(
            table(&["ID", "WHAT", "Z"], &rows, "none"),
            "ID  WHAT       Z\na   long cell  x\nbé             y\n"
        );
        assert_eq!(table(&["ID"], &[], "no calls"), "no calls\n");
    }

    #[test]
    fn durations_read_well() {
        let rows = [(850_000, "850ms"), (12_345_678, "12.3s"), (247_000_000, "4m07s"), (3_720_000_000, "1h02m")];
        for (us, text) in rows {
            assert_eq!(duration(us), text);
        }
    }
}
