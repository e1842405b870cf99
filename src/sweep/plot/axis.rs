//! Round numbers along an axis. Must not know what is drawn.

/// Ticks of an axis, and the numbers at its ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticks {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The ticks.
    pub at: Vec<f64>,
    digits: usize,
}

impl Ticks {
    /// About `wanted` ticks at multiples of 1, 2 or 5 that span `low` to `high`.
    #[must_use]
    pub fn over(low: f64, high: f64, wanted: usize) -> Ticks {
        let (low, high) = match high - low > 1e-12 * low.abs().max(high.abs()) {
            true => (low, high),
            // Everything is one number: show some room around it.
            false => {
                let room = if low == 0.0 { 1.0 } else { low.abs() * 0.5 };
                (low - room, high + room)
            }
        };
        let raw = (high - low) / wanted.max(1) as f64;
        let power = 10_f64.powf(raw.log10().floor());
        let factor = match raw / power {
            ratio if ratio <= 1.0 => 1.0,
            ratio if ratio <= 2.0 => 2.0,
            ratio if ratio <= 5.0 => 5.0,
            _ => 10.0,
        };
        let step = factor * power;
        let first = (low / step + 1e-9).floor();
        let last = (high / step - 1e-9).ceil();
        let digits = (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize;
        let at: Vec<f64> = (0..=(last - first) as usize)
            .map(|index| (first + index as f64) * step)
            .collect();
        Ticks {
            low: first * step,
            high: last * step,
            at,
            digits,
        }
    }

    /// Room for as many words side by side, the first at 0; no ticks.
    #[must_use]
    pub fn slots(count: usize) -> Ticks {
        Ticks {
            low: -0.5,
            high: count as f64 - 0.5,
            at: Vec::new(),
            digits: 0,
        }
    }

    /// A tick in words.
    #[must_use]
    pub fn label(&self, number: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        if largest >= 1e9 || (self.digits > 6) {
            return format!("{number:.2e}");
        }
        let text = format!("{number:.*}", self.digits);
        match text.starts_with('-') && text.trim_matches(['-', '0', '.']).is_empty() {
            true => text[1..].to_owned(),
            false => text,
        }
    }

    /// Where a number stands between the ends, 0 to 1.
    #[must_use]
    pub fn place(&self, number: f64) -> f64 {
        (number - self.low) / (self.high - self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_span_the_numbers() {
        let labels = |low, high| {
            let ticks = Ticks::over(low, high, 5);
            assert!(ticks.low <= low && ticks.high >= high);
            let labels: Vec<String> = ticks.at.iter().map(|at| ticks.label(*at)).collect();
            labels.join(" ")
        };
        assert_eq!(labels(0.0, 100.0), "0 20 40 60 80 100");
        assert_eq!(labels(3.1, 96.5), "0 20 40 60 80 100");
        assert_eq!(labels(0.0, 0.3), "0.0 0.1 0.2 0.3");
        assert_eq!(labels(-1.0, 1.0), "-1.0 -0.5 0.0 0.5 1.0");
        assert_eq!(labels(7.0, 7.0), "2 4 6 8 10 12");
        assert_eq!(labels(0.0, 0.0), "-1.0 -0.5 0.0 0.5 1.0");
    }
}
