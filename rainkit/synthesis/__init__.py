"""Making datasets: rainy and clean pairs from clean photographs, and frames from videos."""
