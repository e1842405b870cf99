//! Mean and confidence of a group of runs. Numbers only; must not know where they come from.

/// The confidence that bands show.
pub const CONFIDENCE: f64 = 0.95;

/// What is known of the mean of some runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// How many runs.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Half the width of its confidence interval, by Student's t; none for a single run, which says nothing of others.
    pub half: Option<f64>,
}

impl Group {
    /// Of at least one value.
    #[must_use]
    pub fn of(values: &[f64]) -> Group {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let half = (n > 1).then(|| {
            let error = (squares / (n - 1) as f64 / n as f64).sqrt();
            t_quantile(n - 1) * error
        });
        Group { n, mean, half }
    }

    /// The interval, or the mean alone.
    #[must_use]
    pub fn bounds(&self) -> (f64, f64) {
        let half = self.half.unwrap_or(0.0);
        (self.mean - half, self.mean + half)
    }
}

/// The t within which a variable of Student's distribution lies with probability 0.95, by degrees of freedom from 1.
#[must_use]
pub fn t_quantile(freedom: usize) -> f64 {
    // Beyond this many the series is long and the difference is in the fifth digit.
    let freedom = freedom.min(10_000);
    let (mut low, mut high) = (0.0, 20.0);
    while high - low > 1e-12 {
        let middle = (low + high) / 2.0;
        match within(middle, freedom) < CONFIDENCE {
            true => low = middle,
            false => high = middle,
        }
    }
    (low + high) / 2.0
}

/// Probability that |T| <= t: the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4.
fn within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    let (mut term, mut sum) = match odd {
        true => (cosine, if freedom > 1 { cosine } else { 0.0 }),
        false => (1.0, 1.0),
    };
    let mut step = if odd { 3 } else { 2 };
    while step <= freedom.saturating_sub(2) {
        term *= cosine * cosine * (step - 1) as f64 / step as f64;
        sum += term;
        step += 2;
    }
    match odd {
        true => (angle + sine * sum) * 2.0 / std::f64::consts::PI,
        false => sine * sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_printed_tables() {
        let printed = [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (4, 2.776),
            (5, 2.571),
            (9, 2.262),
            (10, 2.228),
            (19, 2.093),
            (30, 2.042),
            (60, 2.000),
            (120, 1.980),
            (9999, 1.960),
            (1_000_000, 1.960),
        ];
        for (freedom, value) in printed {
            let found = t_quantile(freedom);
            assert!(
                (found - value).abs() < 6e-4,
                "{freedom}: {found} for {value}"
            );
        }
    }

    #[test]
    fn a_group_by_hand() {
        let group = Group::of(&[1.0, 2.0, 3.0, 4.0]);
        // Standard deviation 1.29099, standard error 0.64550, t of 3 is 3.18245.
        assert_eq!((group.n, group.mean), (4, 2.5));
        assert!((group.half.expect("four") - 2.05426).abs() < 1e-4);
        assert_eq!(Group::of(&[7.0]).half, None);
        assert_eq!(Group::of(&[7.0]).bounds(), (7.0, 7.0));
        assert_eq!(Group::of(&[7.0, 7.0]).half, Some(0.0));
    }
}
