"""One module per scraper: its metrics, its configuration, and how it reads them."""
