"""From the prediction table to figures; numpy and pandas only, never torch."""
