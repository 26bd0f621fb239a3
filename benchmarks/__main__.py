"""Measure, and write results.json and table.md: python -m benchmarks --help tells how.

Processes that this one starts read this file again, under another name, so nothing heavy is imported for them.
"""

if __name__ == "__main__":
    from benchmarks.command import main

    main()
