// The console works without this file. It adds keys, copying, selection and the quiet check for news.
(function () {
  'use strict';
  var current = -1;
  var pendingGo = 0;

  function all(selector) { return Array.prototype.slice.call(document.querySelectorAll(selector)); }
  function first(selector) { return document.querySelector(selector); }
  function rows() { return all('[data-row]'); }

  // --- moving through rows -------------------------------------------------------------------------------------------
  function show(index) {
    var list = rows();
    if (!list.length) return;
    current = Math.max(0, Math.min(index, list.length - 1));
    list.forEach(function (row, i) { row.classList.toggle('here', i === current); });
    var link = list[current].querySelector('a[data-open]');
    if (link) link.focus({ preventScroll: true });
    list[current].scrollIntoView({ block: 'nearest' });
  }

  function toggle() {
    var row = rows()[current];
    var box = row && row.querySelector('input[type=checkbox]');
    if (box) { box.checked = !box.checked; count(); }
  }

  // A key never acts by itself: it brings the person to the form that says what will happen.
  function act(action) {
    var target = first('[data-action="' + action + '"]');
    if (!target || target.disabled) return;
    var details = target.closest('details');
    if (details) details.open = true;
    target.focus();
    target.scrollIntoView({ block: 'center' });
  }

  var places = { o: '/', f: '/failures', g: '/groups', n: '/integrations', i: '/ignored', a: '/audit', h: '/help' };
  var keys = {
    j: function () { show(current + 1); },
    k: function () { show(current - 1); },
    x: toggle,
    r: function () { act('retry'); },
    i: function () { act('ignore'); },
    e: function () { act('resolve'); },
    '/': function () { var q = first('input[type=search]'); if (q) q.focus(); else location.assign('/failures'); },
    '?': function () { location.assign('/help'); },
    g: function () { pendingGo = Date.now(); }
  };

  function typing(target) {
    return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && target.type !== 'checkbox';
  }

  document.addEventListener('keydown', function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === 'Escape' && typing(event.target)) { event.target.blur(); return; }
    if (typing(event.target)) return;
    if (pendingGo && Date.now() - pendingGo < 1500 && places[event.key]) {
      pendingGo = 0;
      event.preventDefault();
      location.assign(places[event.key]);
      return;
    }
    pendingGo = 0;
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });

  // --- selection -----------------------------------------------------------------------------------------------------
  function count() {
    var boxes = all('[data-row] input[type=checkbox]');
    var chosen = boxes.filter(function (box) { return box.checked; }).length;
    all('[data-selected]').forEach(function (node) {
      node.textContent = node.getAttribute('data-selected').replace('#', String(chosen));
    });
    var head = first('[data-select-all]');
    if (head) {
      head.closest('label').hidden = false;
      head.checked = boxes.length > 0 && chosen === boxes.length;
      head.indeterminate = chosen > 0 && chosen < boxes.length;
    }
  }

  document.addEventListener('change', function (event) {
    if (event.target.matches('[data-select-all]')) {
      all('[data-row] input[type=checkbox]').forEach(function (box) { box.checked = event.target.checked; });
    }
    if (event.target.matches('[data-submit], form.filter select')) event.target.form.requestSubmit();
    count();
  });

  // --- copying ids ---------------------------------------------------------------------------------------------------
  document.addEventListener('click', function (event) {
    var button = event.target.closest('[data-copy]');
    if (!button) return;
    navigator.clipboard.writeText(button.getAttribute('data-copy')).then(function () {
      var before = button.textContent;
      button.textContent = button.getAttribute('data-copied');
      setTimeout(function () { button.textContent = before; }, 1500);
    }, function () { button.hidden = true; });
  });

  // --- one click, one request ----------------------------------------------------------------------------------------
  document.addEventListener('submit', function (event) {
    if (event.target.method !== 'post' || event.defaultPrevented) return;
    if (event.target.hasAttribute('data-sent')) { event.preventDefault(); return; }
    event.target.setAttribute('data-sent', '');
  });
  window.addEventListener('pageshow', function () {
    all('[data-sent]').forEach(function (form) { form.removeAttribute('data-sent'); });
    count();
  });

  // --- news: announced, never inserted -------------------------------------------------------------------------------
  function check() {
    var node = first('#news');
    if (!node || document.hidden) return;
    fetch(node.getAttribute('data-url'), { headers: { Accept: 'application/json' }, credentials: 'same-origin' })
      .then(function (answer) { return answer.ok && !answer.redirected ? answer.json() : null; })
      .then(function (news) {
        if (!news || !news.text || node !== first('#news')) return;
        var link = node.querySelector('a');
        if (link.textContent !== news.text) link.textContent = news.text;
        node.hidden = false;
      })
      .catch(function () { /* the next check follows */ });
  }
  setInterval(check, 5000);

  // --- an address says only what was chosen --------------------------------------------------------------------------
  document.addEventListener('htmx:configRequest', function (event) {
    if (event.detail.verb !== 'get') return;
    var asked = event.detail.formData;
    Array.from(asked.keys()).forEach(function (name) { if (asked.get(name) === '') asked.delete(name); });
  });

  // --- what renews itself waits while somebody works in it -------------------------------------------------------------
  document.addEventListener('htmx:beforeRequest', function (event) {
    var live = event.detail.elt;
    if (!live.matches('[data-live]')) return;
    if (document.hidden || live.contains(document.activeElement) || live.querySelector('details[open]')) event.preventDefault();
  });

  // --- after a swap the keyboard is where the news is ----------------------------------------------------------------
  document.addEventListener('htmx:afterSettle', function (event) {
    current = -1;
    count();
    if (event.detail.target.id !== 'main') return;
    var focus = first('#flash') || first('#main [aria-invalid=true]');
    if (!focus && document.activeElement === document.body) focus = first('#main h1');
    if (focus) focus.focus();
  });

  var tab = first('nav [aria-current]');
  if (tab) tab.parentNode.scrollLeft = tab.offsetLeft - 40;

  // --- until a person chooses a time zone, the browser's counts from the next page on -----------------------------------
  if (!/(^|; )redrive_zone=/.test(document.cookie) && window.Intl) {
    var zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone) document.cookie = 'redrive_zone=' + encodeURIComponent(zone) + '; path=/; max-age=31536000; samesite=lax';
  }

  // A page that answers a form begins where it says so.
  var answer = first('#main [aria-invalid=true]') || first('#flash');
  if (answer) answer.focus({ preventScroll: answer.id === 'flash' });

  all('[data-needs-script]').forEach(function (node) { node.hidden = false; });
  document.addEventListener('htmx:afterSwap', function () {
    all('[data-needs-script]').forEach(function (node) { node.hidden = false; });
  });
  count();
})();
