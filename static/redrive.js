// The console works without this file. It adds keys, suggestions, copying, selection and the quiet word of news.
(function () {
  'use strict';
  var current = -1;
  var lastBox = null;
  var pendingGo = 0;

  function all(selector) { return Array.prototype.slice.call(document.querySelectorAll(selector)); }
  function first(selector) { return document.querySelector(selector); }
  function rows() { return all('[data-row]').filter(function (row) { return row.offsetHeight > 0; }); } // what is folded is passed over
  function boxes() { return all('[data-row] input[type=checkbox]:not([data-fold])'); }
  function within(fold) { return Array.from(fold.closest('tbody').querySelectorAll('.within input')); }
  function everything() { var box = first('[data-everything]'); return box && box.checked; }
  function chosen() { return boxes().filter(function (box) { return box.checked; }); }
  function ask(url, accept) { return fetch(url, { headers: { Accept: accept || 'application/json' }, credentials: 'same-origin' }); }

  // --- what a list remembers while the tab is open: by its address -------------------------------------------------------
  var place = location.pathname + location.search;
  function remember(what, value) { try { sessionStorage.setItem(what + ' ' + place, value); } catch (e) { /* private mode */ } }
  function recall(what) { try { return sessionStorage.getItem(what + ' ' + place) || ''; } catch (e) { return ''; } }

  // --- moving through rows -------------------------------------------------------------------------------------------
  function show(index) {
    var list = rows();
    if (!list.length) return;
    current = Math.max(0, Math.min(index, list.length - 1));
    list.forEach(function (row, i) { row.classList.toggle('here', i === current); });
    var link = list[current].querySelector('a.open, a[data-open], .key :is(a, summary)');
    if (link) link.focus({ preventScroll: true });
    list[current].scrollIntoView({ block: 'nearest' });
  }

  function toggle(event) {
    var box = rows()[current] && rows()[current].querySelector('input[type=checkbox]');
    if (!box) return;
    box.checked = !box.checked;
    choose(box, event.shiftKey);
  }

  // choose carries on what a box was set to: a fold's to its rows.
  function choose(box, range) {
    if (box.hasAttribute('data-fold')) within(box).forEach(function (b) { b.checked = box.checked; });
    extend(box.hasAttribute('data-fold') ? within(box)[0] : box, range);
    count();
  }

  // extend gives every row between the last box and this one what this one has.
  function extend(box, range) {
    var list = boxes();
    var from = list.indexOf(lastBox), to = list.indexOf(box);
    if (range && from >= 0) list.slice(Math.min(from, to), Math.max(from, to) + 1).forEach(function (b) { b.checked = box.checked; });
    lastBox = box;
  }

  // A key never acts by itself: it brings the person to the form that says what will happen.
  function act(action) {
    var target = first('[data-action="' + action + '"]') || first('[data-all="' + action + '"]');
    if (!target || target.disabled) return;
    if (target.hasAttribute('data-all')) { target.click(); return; } // the link to the question
    if (target.form && target.form.hasAttribute('data-selection')) {
      if (!chosen().length && !everything() && rows()[current]) toggle({});
      if (chosen().length || everything()) target.form.requestSubmit(target);
      return;
    }
    var details = target.closest('details');
    if (details) details.open = true;
    target.focus();
    target.scrollIntoView({ block: 'center' });
  }

  // over shows a part of a page over this one; closing it brings the keyboard back.
  function over(url, part) {
    ask(url, 'text/html').then(function (answer) { return answer.text(); }).then(function (text) {
      var content = new DOMParser().parseFromString(text, 'text/html').querySelector(part);
      var dialog = document.createElement('dialog'), close = document.createElement('button');
      dialog.setAttribute('aria-labelledby', part.slice(1) + '-title');
      close.textContent = content.getAttribute('data-close');
      close.onclick = function () { dialog.close(); }; dialog.onclose = function () { dialog.remove(); };
      dialog.append(content, close); document.body.append(dialog);
      dialog.querySelectorAll('input[data-suggest]').forEach(combobox); // before it has the focus, with which it asks
      dialog.showModal();
      (dialog.querySelector('[data-suggest]') || close).focus();
    }).catch(function () { location.assign(url); });
  }

  var places = { o: '/', f: '/failures', g: '/groups', p: '/operations', n: '/integrations', i: '/ignored', a: '/audit', h: '/help' };
  var keys = {
    j: function () { show(current + 1); }, k: function () { show(current - 1); }, x: toggle, X: toggle,
    r: function () { act('retry'); }, i: function () { act('ignore'); }, e: function () { act('resolve'); }, a: function () { act('acknowledge'); },
    '/': function () { var q = first('input[type=search]'); if (q) q.focus(); else location.assign('/failures'); },
    '?': function () { over('/help', '#keys'); }, g: function () { pendingGo = Date.now(); }
  };

  function typing(target) {
    return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && target.type !== 'checkbox';
  }

  // letter is what a key says, by its place where the layout has no Latin letters.
  function letter(event) {
    var place = /^Key([A-Z])$/.exec(event.code), sign = event.code === 'Slash' ? '/?' : place ? place[1].toLowerCase() + place[1] : '';
    return /^[ -~]$/.test(event.key) || !sign ? event.key : sign[event.shiftKey ? 1 : 0];
  }

  document.addEventListener('keydown', function (event) {
    var open = first('dialog[open]'), palette = first('[data-palette]');
    if ((event.ctrlKey || event.metaKey) && event.code === 'KeyK' && palette) {
      event.preventDefault();
      if (open) open.close(); else palette.click();
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented || open) return;
    if (event.key === 'Escape' && typing(event.target)) { event.target.blur(); return; }
    if (typing(event.target) || document.documentElement.getAttribute('data-keys') === 'off') return;
    var went = pendingGo && Date.now() - pendingGo < 1500 && places[letter(event)];
    var key = !went && keys[letter(event)];
    pendingGo = 0;
    if (!went && !key) return;
    event.preventDefault();
    if (went) location.assign(went); else key(event);
  });

  // --- selection outlives actions and the way back; ids are copied ------------------------------------------------------
  function count() {
    var n = chosen().length, of = boxes().length;
    all('[data-selected]').forEach(function (node) {
      node.textContent = everything() ? node.getAttribute('data-every') : node.getAttribute('data-selected').replace('#', String(n));
    });
    all('[data-fold]').forEach(function (fold) { fold.checked = within(fold).every(function (box) { return box.checked; }); });
    var head = first('[data-select-all]');
    if (head) {
      head.closest('label').hidden = false;
      head.checked = of > 0 && n === of;
      head.indeterminate = n > 0 && n < of;
    }
    if (of) remember('selected', chosen().map(function (box) { return box.value; }).join(' '));
    var paused = first('#news-paused');
    if (paused) paused.hidden = n === 0;
    if (paused && n === 0 && waiting) announce(waiting);
  }

  function restore() {
    var kept = recall('selected').split(' ');
    boxes().forEach(function (box) { if (kept.indexOf(box.value) >= 0) box.checked = true; });
    // the row that somebody came from may be gone: then the list is where it was
    if ((first('#flash') || /^#f-/.test(location.hash) && !document.getElementById(location.hash.slice(1))) && recall('scroll')) scrollTo(0, Number(recall('scroll')));
  }

  document.addEventListener('change', function (event) {
    if (event.target.matches('[data-select-all]')) boxes().forEach(function (box) { box.checked = event.target.checked; });
    count();
  });

  document.addEventListener('click', function (event) {
    if (event.target.matches('[data-row] input[type=checkbox]')) choose(event.target, event.shiftKey);
    var palette = event.target.closest('[data-palette]'), button = event.target.closest('[data-copy]');
    if (palette && !event.ctrlKey && !event.metaKey) { event.preventDefault(); over(palette.href + '?from=' + encodeURIComponent(location.pathname + location.search), '#go'); }
    if (!button) return;
    navigator.clipboard.writeText(button.getAttribute('data-copy')).then(function () {
      var before = button.textContent;
      button.textContent = button.getAttribute('data-copied');
      setTimeout(function () { button.textContent = before; }, 1500);
    }, function () { button.hidden = true; });
  });

  // --- one click, one request; what does not arrive is said beside the button, and what was typed stays ---------------------
  function unsent(form) {
    var note = form.querySelector('.unsent') || document.createElement('p');
    form.removeAttribute('data-sent');
    note.className = 'error unsent';
    note.setAttribute('role', 'alert');
    note.textContent = '';
    form.append(note);
    note.textContent = document.body.getAttribute('data-unsent');
  }

  // A form with a text goes when the server answers, else the browser would put its own page in the place of what was typed.
  document.addEventListener('submit', function (event) {
    var form = event.target, button = event.submitter;
    if (form.method !== 'post' || event.defaultPrevented) return;
    if (form.hasAttribute('data-sent')) { event.preventDefault(); return; }
    form.setAttribute('data-sent', '');
    if (form.hasAttribute('hx-post') || form.hasAttribute('data-reached') || navigator.onLine && !form.querySelector('textarea')) return;
    event.preventDefault();
    fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(15000) }).then(function (answer) {
      if (!answer.ok) throw answer;
      form.removeAttribute('data-sent');
      form.setAttribute('data-reached', '');
      form.requestSubmit(button);
      form.removeAttribute('data-reached');
    }).catch(function () { unsent(form); });
  });
  ['htmx:sendError', 'htmx:timeout', 'htmx:beforeSwap'].forEach(function (moment) {
    document.addEventListener(moment, function (event) {
      var form = event.target.closest('form[hx-post]') || event.detail.elt && event.detail.elt.closest('form[hx-post]'), status = event.detail.xhr.status;
      if (!form || moment === 'htmx:beforeSwap' && status < 500) return;
      event.detail.shouldSwap = false;
      unsent(form);
    });
  });

  // --- what was typed is not left without a word, and the end of the session takes nothing of it away -----------------------
  function typed(within, but) {
    return Array.prototype.some.call(within.querySelectorAll('form[method=post] :is(textarea, input:not([type=hidden], [type=password], [type=checkbox]))'), function (box) {
      return box.value !== box.defaultValue && box.form !== but && !box.closest('.sign, [data-sent]');
    });
  }
  window.addEventListener('beforeunload', function (event) { if (typed(document)) event.preventDefault(); });
  function signedOut() {
    all('.bar nav, .bar .who').forEach(function (node) { node.remove(); });
    first('#signed-out').hidden = false;
  }
  window.addEventListener('pagehide', function () { remember('scroll', String(scrollY)); if (stream) { stream.close(); stream = null; } });
  window.addEventListener('pageshow', function () {
    all('[data-sent]').forEach(function (form) { form.removeAttribute('data-sent'); });
    count();
    listen();
  });

  // --- news: announced, never inserted; they wait while something is selected ----------------------------------------------
  var stream = null, waiting = '';

  function announce(text) {
    var node = first('#news');
    if (!node) return;
    if (chosen().length) { waiting = text; return; }
    waiting = '';
    var link = node.querySelector('a');
    if (link.textContent !== text) link.textContent = text;
    node.hidden = !text;
    if (text && window.htmx) window.htmx.trigger(document.body, 'news'); // what can be renewed in its place is
  }

  function check() {
    var node = first('#news');
    if (!node || document.hidden || stream) return;
    ask(node.getAttribute('data-url')).then(function (answer) { if (answer.status === 401) signedOut(); return answer.ok && !answer.redirected ? answer.json() : null; })
      .then(function (news) { if (news && node === first('#news') && (news.text || node.hasAttribute('data-stream'))) announce(news.text); })
      .catch(function () { /* the next check follows */ });
  }
  setInterval(check, 5000);

  // listen holds a stream open while the tab is seen; where there is none, check asks every few seconds.
  function listen() {
    var node = first('#news[data-stream]');
    if (stream && (document.hidden || !node)) { stream.close(); stream = null; }
    if (stream || document.hidden || !node || !window.EventSource) return;
    stream = new EventSource(node.getAttribute('data-stream'));
    stream.onmessage = function (event) { announce(JSON.parse(event.data).text); };
    stream.onerror = function () { if (stream && stream.readyState === EventSource.CLOSED) stream = null; };
  }
  document.addEventListener('visibilitychange', listen);

  // --- the search bar suggests fields and values ---------------------------------------------------------------------------
  function combobox(input) {
    var list = document.createElement('ul'), status = document.createElement('span'), asked = 0, at = -1, timer = 0, start = 0;
    var goes = input.hasAttribute('data-goes'); // its items lead somewhere, and answer all of the text
    list.id = goes ? 'answers' : 'suggestions'; list.className = 'suggestions';
    list.setAttribute('role', 'listbox');
    list.setAttribute('aria-label', input.labels[0].textContent);
    list.hidden = true;
    status.setAttribute('role', 'status'); status.className = 'visually-hidden';
    input.after(list, status);
    [['role', 'combobox'], ['aria-autocomplete', 'list'], ['aria-controls', list.id], ['aria-expanded', 'false']].forEach(function (a) { input.setAttribute(a[0], a[1]); });

    function close() { asked++; at = -1; list.hidden = true; input.setAttribute('aria-expanded', 'false'); input.removeAttribute('aria-activedescendant'); }
    function point(index) {
      at = (index + list.children.length) % list.children.length;
      Array.from(list.children).forEach(function (item, i) { item.setAttribute('aria-selected', String(i === at)); });
      input.setAttribute('aria-activedescendant', list.children[at].id);
      list.children[at].scrollIntoView({ block: 'nearest' });
    }
    function take(item) {
      var end = input.selectionStart, text = item.getAttribute('data-insert'), does = item.getAttribute('data-do');
      if (does) { input.closest('dialog').close(); act(does); } else if (goes) location.assign(text);
      if (goes) return;
      input.setRangeText(text, start, end, 'end');
      close();
      input.focus();
      if (/:$/.test(text)) suggest();
    }
    function fill(items) {
      var kept = at < 0 ? '' : list.children[at].getAttribute('data-insert'); // what is pointed at stays so
      list.replaceChildren.apply(list, items.map(function (item, i) {
        var li = document.createElement('li'), note = document.createElement('small');
        li.id = list.id + '-' + i;
        li.setAttribute('role', 'option');
        li.setAttribute('aria-selected', 'false');
        li.setAttribute('data-insert', item.insert);
        if (item.do) li.setAttribute('data-do', item.do);
        note.textContent = item.help;
        li.append(item.text, ' ', note);
        return li;
      }));
      at = -1; list.hidden = !items.length;
      items.forEach(function (item, i) { if (item.insert === kept || goes && !i) point(i); });
      input.setAttribute('aria-expanded', String(items.length > 0));
      status.textContent = items.length ? input.getAttribute('data-found').replace('#', String(items.length)) : input.getAttribute('data-none');
    }
    function suggest() {
      var word = /(?:^|\s)((?:[^\s"]|"[^"]*"?)*)$/.exec(input.value.slice(0, input.selectionStart))[1], colon = word.indexOf(':'), mine = ++asked;
      var question = goes ? new FormData(input.form) : { field: colon < 0 ? '' : word.slice(0, colon), typed: word.slice(colon + 1) };
      start = input.selectionStart - word.length;
      ask(input.getAttribute('data-suggest') + '?' + new URLSearchParams(question))
        .then(function (answer) { return answer.ok ? answer.json() : { items: [] }; })
        .then(function (found) { if (mine === asked && document.activeElement === input) fill(found.items); })
        .catch(close);
    }
    if (goes) input.addEventListener('focus', suggest);
    input.addEventListener('input', function () { if (goes) at = -1; clearTimeout(timer); timer = setTimeout(suggest, 120); });
    input.addEventListener('blur', close);
    list.addEventListener('mousedown', function (event) { event.preventDefault(); });
    list.addEventListener('click', function (event) { var item = event.target.closest('li'); if (item) take(item); });
    input.addEventListener('keydown', function (event) {
      if (event.key === 'ArrowDown' && list.hidden) { event.preventDefault(); suggest(); return; }
      if (list.hidden || event.isComposing) return;
      if (event.key === 'ArrowDown') point(at + 1);
      else if (event.key === 'ArrowUp') point(at < 0 ? -1 : at - 1);
      else if (event.key === 'Escape') { if (goes) input.closest('dialog').close(); else close(); }
      else if ((event.key === 'Enter' || event.key === 'Tab' && !goes) && at >= 0) take(list.children[at]);
      else return;
      event.preventDefault();
    });
  }
  all('input[data-suggest]:not([data-goes])').forEach(combobox);

  // --- an address says only what was chosen --------------------------------------------------------------------------
  document.addEventListener('htmx:configRequest', function (event) {
    if (event.detail.verb !== 'get') return;
    var asked = event.detail.formData;
    Array.from(asked.keys()).forEach(function (name) { if (asked.get(name) === '') asked.delete(name); });
  });

  // --- what renews itself waits while somebody works in it; what would take away what was typed asks ------------------------
  ['htmx:beforeRequest', 'htmx:beforeSwap'].forEach(function (moment) {
    document.addEventListener(moment, function (event) {
      var live = event.target, asked = event.detail.requestConfig, ended = event.detail.xhr.status === 401 && asked.verb === 'get';
      if (live.matches('[data-live]') && (document.hidden || live.contains(document.activeElement) || live.querySelector('details[open]') || typed(live))) event.preventDefault();
      if (ended) { event.preventDefault(); signedOut(); }
      if (moment === 'htmx:beforeRequest' && event.detail.target.id === 'main' && typed(document, asked.elt) && !confirm(document.body.getAttribute('data-leave'))) {
        event.preventDefault();
        asked.elt.removeAttribute('data-sent');
      }
    });
  });

  // --- after a swap the keyboard is where the news is ----------------------------------------------------------------
  document.addEventListener('htmx:afterSettle', function (event) {
    current = -1;
    count();
    if (event.detail.xhr.status === 401) all('.bar nav, .bar .who').forEach(function (node) { node.remove(); }); // the session is over
    if (event.detail.target.id !== 'main') return;
    var focus = first('#flash') || first('#main [aria-invalid=true]');
    if (!focus && document.activeElement === document.body) focus = first('#main h1');
    if (focus) focus.focus();
  });

  all('nav [aria-current]').forEach(function (tab) { tab.parentNode.scrollLeft = tab.offsetLeft - tab.parentNode.offsetLeft - 40; });

  // --- until a person chooses a time zone, the browser's counts from the next page on -----------------------------------
  if (!/(^|; )redrive_zone=/.test(document.cookie) && window.Intl) {
    var zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone) document.cookie = 'redrive_zone=' + encodeURIComponent(zone) + '; path=/; max-age=31536000; samesite=lax' + (location.protocol === 'https:' ? '; secure' : '');
  }

  restore();
  // A page that answers a form begins where it says so.
  var answer = first('#main [aria-invalid=true]') || first('#flash');
  if (answer) answer.focus({ preventScroll: answer.id === 'flash' });

  function reveal() { all('[data-needs-script]').forEach(function (node) { node.hidden = false; }); }
  document.addEventListener('htmx:afterSwap', reveal);
  reveal();
  count();
})();
