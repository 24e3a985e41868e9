//! The table of devices in the plan and on the start screen, 80 columns wide.

use serde::Serialize;

use crate::daemon::columns::wrap;
use crate::llama::DevicePlan;

/// What a device holds, in bytes.
#[derive(Debug, Serialize)]
pub(super) struct DeviceRow {
    pub(super) name: String,
    /// The name in the table. It is short, and `name` is written below the table if it differs.
    #[serde(skip)]
    label: String,
    pub(super) layers: u32,
    pub(super) weights: u64,
    /// Part of `weights`: copies of weights that are also counted elsewhere.
    pub(super) copies: u64,
    pub(super) kv: u64,
    pub(super) compute: u64,
    pub(super) context: u64,
    pub(super) total: u64,
    /// Maximum for this device, its free memory less the reserve; `None` for the CPU.
    pub(super) budget: Option<u64>,
}

impl From<&DevicePlan> for DeviceRow {
    fn from(plan: &DevicePlan) -> Self {
        let DevicePlan { name, device, budget, layers, weights, copies, kv, compute, context } =
            plan.clone();
        let label = if device.is_empty() { name.clone() } else { device };
        Self {
            name,
            label,
            layers,
            weights,
            copies,
            kv,
            compute,
            context,
            total: plan.total(),
            budget,
        }
    }
}

impl DeviceRow {
    /// The row of the draft model, which stays on the CPU.
    pub(super) fn of_draft(plan: &DevicePlan) -> Self {
        Self { name: DRAFT_ROW.to_owned(), label: DRAFT_ROW.to_owned(), ..plan.into() }
    }

    /// By how many bytes the device exceeds its budget.
    pub(super) fn excess(&self) -> u64 {
        self.budget.map_or(0, |budget| self.total.saturating_sub(budget))
    }

    /// The name for a sentence.
    pub(super) fn label(&self) -> &str {
        &self.label
    }
}

/// A column of sizes. It is left out if no row has one.
struct Column {
    title: &'static str,
    /// The size of a row; `None` if the row has none.
    size: fn(&DeviceRow) -> Option<u64>,
}

const SIZES: [Column; 7] = [
    Column { title: "weights", size: |row| Some(row.weights.saturating_sub(row.copies)) },
    Column { title: "copies", size: |row| (row.copies > 0).then_some(row.copies) },
    Column { title: "KV", size: |row| Some(row.kv) },
    Column { title: "compute", size: |row| Some(row.compute) },
    Column { title: "driver", size: |row| (row.context > 0).then_some(row.context) },
    Column { title: "total", size: |row| Some(row.total) },
    Column { title: "budget", size: |row| row.budget },
];

/// The table of these rows, in MiB, and what the names in it mean.
pub(super) fn table(rows: &[&DeviceRow]) -> String {
    let is_shown = |column: &&Column| rows.iter().any(|row| (column.size)(row).is_some());
    let columns: Vec<&Column> = SIZES.iter().filter(is_shown).collect();
    let width = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0).max(UNIT.len());
    let header: String = columns.iter().map(|column| format!(" {:>8}", column.title)).collect();
    let mut lines = vec![format!("{UNIT:width$} {:>6}{header}", "layers")];
    for row in rows {
        let size = |column: &&Column| {
            format!(" {:>8}", (column.size)(row).map_or_else(|| "-".to_owned(), mib))
        };
        let sizes: String = columns.iter().map(size).collect();
        lines.push(format!("{:width$} {:>6}{sizes}", row.label, row.layers));
    }
    let mut notes: Vec<String> = Vec::new();
    for row in rows.iter().filter(|row| row.name != row.label) {
        notes.push(wrap(&format!("{}: ", row.label), &row.name, " "));
    }
    if rows.iter().any(|row| row.copies > 0) {
        notes.push(wrap("", COPIES_NOTE, " "));
    }
    if !notes.is_empty() {
        lines.push(String::new());
        lines.extend(notes);
    }
    lines.join("\n") + "\n"
}

/// `bytes` in MiB with one decimal.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// The unit of all sizes in the table.
const UNIT: &str = "MiB";

/// The name of the draft model's row.
const DRAFT_ROW: &str = "draft, cpu";

/// What the column of copies means.
const COPIES_NOTE: &str = "copies: weights that are stored a second time, in the layout of the \
                           CPU's kernels or on another device";

#[cfg(test)]
mod tests {
    use console::measure_text_width;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn device(name: &str, device: &str, copies: u64) -> DeviceRow {
        let plan = DevicePlan {
            name: name.to_owned(),
            device: device.to_owned(),
            budget: Some(900 * GIB),
            layers: 126,
            weights: 800 * GIB,
            copies,
            kv: 99 * GIB,
            compute: GIB,
            context: 150 << 20,
        };
        DeviceRow::from(&plan)
    }

    #[test]
    fn table_fits_80_columns_with_all_columns_and_large_sizes() {
        let name =
            "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition (an engineering sample)";
        let rows = [device(name, "Vulkan15", GIB), device("cpu", "cpu", 0)];
        let draft = DeviceRow { label: DRAFT_ROW.to_owned(), ..device("cpu", "cpu", GIB) };
        let table = table(&[&rows[0], &rows[1], &draft]);
        for line in table.lines() {
            assert!(measure_text_width(line) <= 80, "{line}");
        }
        for words in ["Vulkan15", "Blackwell", "copies", "driver", "818176.0", "819200.0"] {
            assert!(table.contains(words), "{words}: {table}");
        }
    }

    #[test]
    fn columns_without_a_size_are_left_out() {
        let cpu = DevicePlan { name: "cpu".into(), device: "cpu".into(), ..DevicePlan::default() };
        let table = table(&[&DeviceRow::from(&cpu)]);
        for title in ["copies", "driver", "budget"] {
            assert!(!table.contains(title), "{title}: {table}");
        }
    }
}
