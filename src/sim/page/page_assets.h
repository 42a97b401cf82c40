/* The page's own files (src/sim/page/), as tools/embed.sh makes them. Private to page.c. */
#pragma once

extern const char page_html[], page_css[], page_js[];
