(() => {
  const $ = id => document.getElementById(id);
  const live = $('live');
  const say = (text, kind) => { live.textContent = text; live.className = 'badge ' + kind; };
  const put = ({ id, html }) => {
    const box = $(id);
    if (!box) return;
    const focused = box.contains(document.activeElement) ? document.activeElement.id : '';
    const scrolled = [...box.querySelectorAll('.scroll')].map(part => part.scrollLeft);
    box.innerHTML = html;
    box.querySelectorAll('.scroll').forEach((part, index) => { part.scrollLeft = scrolled[index] || 0; });
    if (focused && $(focused)) $(focused).focus({ preventScroll: true });
    if (id === 'status') document.title = box.firstElementChild.dataset.title;
  };
  let events;
  const follow = () => {
    if (events) events.close();
    events = new EventSource('/events' + location.search);
    events.onopen = () => say('live', 'good');
    events.onerror = () => say('reconnecting', 'warn');
    events.addEventListener('fragment', event => put(JSON.parse(event.data)));
  };
  const search = $('q');
  let typed;
  search.addEventListener('input', () => {
    clearTimeout(typed);
    typed = setTimeout(() => {
      const query = search.value.trim();
      history.replaceState(null, '', query ? '/?q=' + encodeURIComponent(query) : '/');
      follow();
    }, 250);
  });
  search.form.addEventListener('submit', event => event.preventDefault());
  document.addEventListener('keydown', event => {
    if (event.key === '/' && document.activeElement !== search) { event.preventDefault(); search.focus(); }
    if (event.key === 'Escape' && document.activeElement === search) {
      search.value = '';
      search.dispatchEvent(new Event('input'));
    }
  });
  addEventListener('pagehide', () => events.close());
  addEventListener('pageshow', event => { if (event.persisted) follow(); });
  follow();
})();
