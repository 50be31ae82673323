"""The report as one HTML file that needs no network: `page.write` makes it."""
