"""Tests: laws over generated data, judged by a for-loop reference."""
