"""The measurements behind the README's figures: ``python -m benchmarks`` lists them."""
